"""Names made of words alone: the few words on which, after which or before which a feature fires.

A class of words, such as the names of made things, is too broad for a feature that fires on three
of them. Its own words are a predicate, too: what is shown is the whole of it.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.data.word_classes import FUNCTION_WORDS, word_lists
from saetask.dictionary.naming.association import Association
from saetask.dictionary.naming.battery import OWN_WORDS, Predicate, Predicates, predicate
from saetask.dictionary.naming.concept_trials import NamedSplit
from saetask.dictionary.naming.feature_names import MIN_LIFT, Evidence, FeatureNames
from saetask.dictionary.naming.subjects import FORM
from saetask.dictionary.naming.token_words import TokenWords

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int64
    from scipy.sparse import csc_matrix, csr_matrix

MOST_WORDS = 5
MIN_LETTERS = 3
MIN_TOKENS = 3
"""Minimum number of firings on a word of the list, on the build documents."""
RELATIONS = ("on", "after", "before")

OwnWords = dict[str, list[tuple[str, ...]]]
"""By relation, the words of each feature; none where it fires on no word more than elsewhere."""


class WordPlaces(NamedTuple):
    """Which word stands on, before and after each token."""

    vocabulary: dict[str, int]
    by_relation: "dict[str, Int64[np.ndarray, ' n']]"
    """Number of the word that a relation speaks of; -1 where there is none that may be a name."""

    def matrix(self, relation: str) -> "csr_matrix":
        """Returns which word each token has in a relation, `[n_tokens, n_words]`, float32."""
        from scipy.sparse import csr_matrix

        words = self.by_relation[relation]
        tokens = np.flatnonzero(words >= 0)
        shape = (len(words), max(len(self.vocabulary), 1))
        return csr_matrix((np.ones(len(tokens), np.float32), (tokens, words[tokens])), shape)


def word_places(tokens: TokenWords, shifted: bool = False) -> WordPlaces:
    """Returns which words stand on, before and after each token of some rows.

    Args:
        tokens: The rows.
        shifted: Moves the words a third of the tokens on, so that all is by chance.
    """
    known = sorted(word for word in set(tokens.words) if _may_name(word))
    vocabulary = {word: number for number, word in enumerate(known)}
    here = np.array([vocabulary.get(word, -1) for word in tokens.words], np.int64)
    here[~_is_of_text(tokens)] = -1
    previous, following = tokens.first - 1, tokens.last + 1
    after = np.where(previous >= tokens.row_start, here[np.maximum(previous, 0)], -1)
    before = np.where(following < tokens.row_end, here[np.minimum(following, len(here) - 1)], -1)
    moved = len(here) // 3 if shifted else 0
    by_relation = {"on": here, "after": after, "before": before}
    return WordPlaces(vocabulary, {r: np.roll(words, moved) for r, words in by_relation.items()})


def _is_of_text(tokens: TokenWords) -> "Bool[np.ndarray, ' n']":
    """Returns which tokens are of a whole word of the text.

    A word at the end of a row may be cut off, and the one after a control token is the name of a
    speaker in a chat template.
    """
    control = np.array([text.startswith("<|") for text in tokens.texts], bool)
    after_control = control[np.maximum(tokens.first - 1, 0)] & (tokens.first > tokens.row_start)
    cut = (tokens.first == tokens.row_start) | (tokens.last == tokens.row_end - 1)
    return ~(after_control | cut)


@cache
def _may_name(word: str) -> bool:
    """Returns whether a word says something: a function word only if it is of a meaning."""
    of_form = {*FORM, FUNCTION_WORDS}
    lists = [name for name, words in word_lists().items() if word in words]
    return len(word) >= MIN_LETTERS and (not lists or not of_form.issuperset(lists))


def choose_own_words(activations: "csr_matrix", places: WordPlaces) -> OwnWords:
    """Returns the words that tell most about where each feature fires, by relation.

    A list of words holds at the tokens of all of them, so each adds its own share of the firings
    less its share of the silent tokens to the list's sensitivity and specificity: those that add
    most are the best list.

    Args:
        activations: Feature activations on the build documents, `[n_tokens, d_sae]`.
        places: Words of the same tokens.
    """
    fires: Any = activations.astype(bool).astype(np.float32)
    firing = np.asarray(fires.sum(0), dtype=float).ravel()
    words = list(places.vocabulary)
    return {
        relation: [
            tuple(words[i] for i in chosen)
            for chosen in _best_words(places.matrix(relation), fires, firing)
        ]
        for relation in RELATIONS
    }


def _best_words(
    has_word: "csr_matrix", fires: "csr_matrix", firing: "Float64[np.ndarray, ' d_sae']"
) -> "list[Int64[np.ndarray, ' k']]":
    """Returns the words of each feature's list, the one that adds most first."""
    n_tokens = has_word.get_shape()[0]
    occurs = np.asarray(has_word.sum(0), dtype=float).ravel()
    both: Any = (has_word.T @ fires).tocsc()
    chosen = []
    for feature, n_firing in enumerate(firing.tolist()):
        column = slice(both.indptr[feature], both.indptr[feature + 1])
        words, hits = both.indices[column].astype(np.int64), both.data[column].astype(float)
        silent = max(n_tokens - n_firing, 1)
        adds = hits / max(n_firing, 1) - (occurs[words] - hits) / silent
        often = hits >= np.maximum(MIN_LIFT * occurs[words] * n_firing / n_tokens, MIN_TOKENS)
        words, adds = words[often & (adds > 0)], adds[often & (adds > 0)]
        chosen.append(words[np.argsort(-adds, kind="stable")[:MOST_WORDS]])
    return chosen


def where_own_words(
    own: Sequence[tuple[str, ...]], places: WordPlaces, relation: str
) -> "csc_matrix":
    """Returns at which tokens each feature's words stand in a relation, `[n_tokens, d_sae]`."""
    from scipy.sparse import csc_matrix, csr_matrix

    pairs = [
        (places.vocabulary[word], feature)
        for feature, words in enumerate(own)
        for word in words
        if word in places.vocabulary
    ]
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    shape = (max(len(places.vocabulary), 1), len(own))
    listed = csr_matrix((np.ones(len(pairs), np.float32), (rows, columns)), shape)
    return csc_matrix(places.matrix(relation) @ listed)


class OwnEvidence(NamedTuple):
    """Each feature's own words, and how well they tell where it fires."""

    words: OwnWords
    """Chosen on the build documents."""
    evidence: Evidence
    """By feature and relation, on the build and the selection documents."""


def gather_own_evidence(
    train: "csr_matrix",
    selection: "csr_matrix",
    tokens: Sequence[TokenWords],
    shifted: bool = False,
) -> OwnEvidence:
    """Chooses each feature's own words on the build documents and counts where they stand.

    Args:
        train: Feature activations on build documents, `[n_tokens, d_sae]`.
        selection: On other documents.
        tokens: Words of both.
        shifted: Moves the words, so that all is by chance; see `gather_evidence`.
    """
    learning, choosing = (word_places(each, shifted) for each in tokens)
    words = choose_own_words(train, learning)
    pairs = ((train, learning), (selection, choosing))
    evidence = Evidence(*(_associate(fires, words, places) for fires, places in pairs))
    return OwnEvidence(words, evidence)


def _associate(activations: "csr_matrix", own: OwnWords, places: WordPlaces) -> Association:
    """Counts where each feature fires and its own words stand, `[d_sae, relation]`."""
    fires: Any = activations.astype(bool).astype(np.float32)
    both, holding = [], []
    for relation in RELATIONS:
        holds: Any = where_own_words(own[relation], places, relation)
        both.append(np.asarray(fires.multiply(holds).sum(0), dtype=float).ravel())
        holding.append(np.asarray(holds.sum(0), dtype=float).ravel())
    firing = np.asarray(fires.sum(0), dtype=float).reshape(-1, 1)
    return Association(np.stack(both, 1), firing, np.stack(holding, 1), fires.get_shape()[0])


def with_own_evidence(battery: Evidence, own: OwnEvidence) -> Evidence:
    """Returns the evidence of the battery and, after it, of each feature's own words."""
    return Evidence(*(_side_by_side(*pair) for pair in zip(battery, own.evidence)))


def _side_by_side(battery: Association, own: Association) -> Association:
    holding = np.broadcast_to(battery.holding, battery.both.shape)
    return Association(
        np.hstack([battery.both, own.both]),
        battery.firing,
        np.hstack([holding, own.holding]),
        battery.n_tokens,
    )


def with_own_predicates(
    names: FeatureNames, own: OwnWords, splits: Sequence[NamedSplit]
) -> tuple[FeatureNames, list[NamedSplit]]:
    """Returns names and splits in which the own words that became names are predicates.

    Args:
        names: Names of which the predicates after the battery's are each feature's own words.
        own: Those words.
        splits: The documents, with the battery's predicates.
    """
    from scipy.sparse import csc_matrix, hstack

    n_battery = len(splits[0].predicates.predicates)
    chosen = np.flatnonzero(names.predicate >= n_battery)
    by_relation = [names.predicate[chosen] - n_battery == place for place in range(len(RELATIONS))]
    numbers, predicates = names.predicate.copy(), []
    for relation, here in zip(RELATIONS, by_relation):
        features = chosen[here]
        numbers[features] = n_battery + len(predicates) + np.arange(len(features))
        predicates += [own_predicate(relation, own[relation][feature]) for feature in features]
    extended = []
    for split in splits:
        places, (known, holds) = word_places(split.tokens), split.predicates
        columns = [
            where_own_words([own[relation][f] for f in chosen[here]], places, relation).astype(bool)
            for relation, here in zip(RELATIONS, by_relation)
        ]
        held = csc_matrix(hstack([holds, *columns]))
        extended.append(replace(split, predicates=Predicates([*known, *predicates], held)))
    return names._replace(predicate=numbers), extended


def own_predicate(relation: str, words: Sequence[str]) -> Predicate:
    """Returns the predicate that one of some words stands in a relation to the token.

    Its id is that of all names of own words in this relation.
    """
    return predicate(relation, OWN_WORDS, ", ".join(words))
