"""A feature that fires on a few words is named by them, and by a class where that tells more."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from saetask.dictionary.naming.battery import apply_battery
from saetask.dictionary.naming.concept_trials import NamedSplit
from saetask.dictionary.naming.feature_names import choose_names, gather_evidence
from saetask.dictionary.naming.own_words import (
    MIN_TOKENS,
    MOST_WORDS,
    RELATIONS,
    choose_own_words,
    gather_own_evidence,
    where_own_words,
    with_own_evidence,
    with_own_predicates,
    word_places,
)
from saetask.dictionary.naming.token_words import token_words

VOCABULARY = ["bread", "tea", "honey", "soup", "stone", "river", "walks", "each", "the", "of", "."]
FOOD = {"bread", "tea", "honey", "soup"}


def rows(seed, n_rows=60, length=20):
    """Returns the words of some rows of texts, drawn at random, between two full stops."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, len(VOCABULARY), (n_rows, length))
    ids[:, [0, -1]] = VOCABULARY.index(".")  # words at the ends may be cut off
    ids = ids.ravel()
    starts = np.arange(0, len(ids) + 1, length)
    return token_words(ids, starts, [" " + word for word in VOCABULARY])


def firing_where(tokens, *tests, noise=0.0, seed=0):
    """Returns activations of features, one a test of a token's word."""
    fires = np.array([[test(word) for test in tests] for word in tokens.words], np.float32)
    extra = np.random.default_rng(seed).random(fires.shape) < noise
    return csr_matrix(np.maximum(fires, extra))


def youden(fires, holds):
    """Returns sensitivity plus specificity minus one, from its definition."""
    return holds[fires].mean() - holds[~fires].mean()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_words_are_the_best_list_of_all(seed):
    """The slow twin tries every list."""
    tokens = rows(seed, n_rows=12)
    generator = np.random.default_rng(seed)
    shares = {word: generator.random() ** 3 for word in set(tokens.words)}
    fires = np.array([generator.random() < shares[word] for word in tokens.words])
    places = word_places(tokens)
    (chosen,) = choose_own_words(csr_matrix(fires[:, None].astype(np.float32)), places)["on"]
    words = np.array(tokens.words)
    base = fires.mean()
    usable = [
        w
        for w in places.vocabulary
        if fires[words == w].sum() >= max(MIN_TOKENS, 2 * base * (words == w).sum())
    ]
    lists = [c for n in range(MOST_WORDS + 1) for c in combinations(usable, n)]
    best = max((youden(fires, np.isin(words, listed)) for listed in lists), default=0.0)
    assert youden(fires, np.isin(words, chosen)) == pytest.approx(best)


@pytest.mark.parametrize("relation", RELATIONS)
def test_words_hold_where_they_stand_in_their_relation(relation):
    tokens = rows(3)
    own = [("bread", "tea"), (), ("stone", "unheard")]
    holds = where_own_words(own, word_places(tokens), relation).toarray()
    step = {"on": 0, "after": -1, "before": 1}[relation]
    for token in range(len(tokens.words)):
        place = token + step
        inside = tokens.row_start[token] <= place < tokens.row_end[token]
        word = tokens.words[place] if inside else ""
        assert holds[token].astype(bool).tolist() == [word in words for words in own]


def test_speakers_of_a_chat_and_words_that_a_row_may_cut_off_are_no_names():
    vocabulary = ["<|im_start|>", "user", "\n", " bread", " tea"]
    rows_of_one = [3, 0, 1, 2, 3, 4, 4, 3]
    tokens = token_words(np.array(rows_of_one), np.array([0, len(rows_of_one)]), vocabulary)
    places = word_places(tokens)
    named = {number: word for word, number in places.vocabulary.items()}
    here = [named.get(number) for number in places.by_relation["on"].tolist()]
    assert here == [None, None, None, None, "bread", "tea", "tea", None]


def test_function_words_are_no_names_unless_they_have_a_meaning_of_their_own():
    vocabulary = word_places(rows(0)).vocabulary
    assert "each" in vocabulary
    assert not {"the", "of", ""} & set(vocabulary)


def named(*tests, noise=0.02):
    """Returns the names of features that fire where a test holds; "" for none."""
    tokens = [rows(seed, n_rows=400) for seed in (1, 2, 3)]
    train, selection, _ = (firing_where(each, *tests, noise=noise) for each in tokens)
    splits = [NamedSplit(each, list(each.texts), apply_battery(each)) for each in tokens]
    holds = [split.predicates.holds for split in splits]
    evidence, null = (
        with_own_evidence(
            gather_evidence(train, selection, holds[0], holds[1], shifted),
            gather_own_evidence(train, selection, tokens[:2], shifted),
        )
        for shifted in (False, True)
    )
    own = gather_own_evidence(train, selection, tokens[:2]).words
    names, extended = with_own_predicates(choose_names(evidence, null), own, splits)
    predicates = extended[2].predicates
    assert predicates.holds.shape[1] == len(predicates.predicates)
    return [predicates.predicates[p].name if p >= 0 else "" for p in names.predicate]


def test_few_words_of_a_class_are_named_by_themselves_and_all_of_it_by_the_class():
    few, whole, verb = named({"tea", "soup"}.__contains__, FOOD.__contains__, "walks".__eq__)
    assert few in ("tea, soup", "soup, tea")
    assert whole == "food" or set(whole.split(", ")) == FOOD
    assert verb in ("walks", "verbs of motion")


def test_a_feature_that_fires_by_chance_has_no_name():
    chance = [lambda word: False] * 20
    assert named(*chance, noise=0.1).count("") >= 18
