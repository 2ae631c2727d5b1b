"""A predicate holds where a reader would say that its name does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data.class_names import WIDE_CLASSES
from saetask.data.word_classes import FUNCTION_WORDS, class_names, word_lists
from saetask.dictionary.naming.battery import AMONG, AT_LEAST, apply_battery
from saetask.dictionary.naming.token_words import token_words

TEXTS = ["She", " ate", " the", " honey", ".", " He", " never", " ran", " 12", " miles", "\n"]
ROW = np.arange(len(TEXTS))


@pytest.fixture(scope="module")
def predicates():
    return apply_battery(token_words(ROW, np.array([0, len(ROW)]), TEXTS), {"sweets": {"honey"}})


def where(predicates, predicate_id: str) -> list[str]:
    return [TEXTS[i].strip() for i in np.flatnonzero(predicates.where(predicate_id))]


def test_predicates_of_the_word_itself(predicates) -> None:
    assert where(predicates, "on:noun.food") == ["honey"]
    assert where(predicates, "on:verb.consumption") == ["ate"]
    assert where(predicates, "on:negation") == ["never"]
    assert where(predicates, "on:digits") == ["12"]
    assert where(predicates, "on:past forms of verbs") == ["ate", "ran"]
    assert where(predicates, "on:sweets") == ["honey"]
    assert where(predicates, "on:concrete things") == ["honey"]
    assert where(predicates, "on:verbs of bodily action") == ["ate", "ran"]
    assert where(predicates, "on:nouns") == ["honey", "miles"]


def test_wide_classes_are_made_of_classes_and_the_two_of_things_share_none() -> None:
    assert {name for parts in WIDE_CLASSES.values() for name in parts} <= set(class_names())
    assert not {*WIDE_CLASSES["concrete things"]} & {*WIDE_CLASSES["abstract things"]}


def test_predicates_of_the_words_around(predicates) -> None:
    assert where(predicates, "after:noun.food") == ["."]
    assert where(predicates, "before:noun.food") == ["the"]
    assert where(predicates, "near:noun.food") == [".", "He", "never", "ran", "12", "miles", ""]
    assert where(predicates, "in:first word of a sentence") == ["He"]
    assert where(predicates, "among:names") == []


@given(st.lists(st.booleans(), min_size=30, max_size=60))
def test_among_counts_the_tokens_before_in_one_row(digits) -> None:
    texts = [" 7" if digit else " of" for digit in digits]
    row = np.arange(len(texts))
    tokens = token_words(np.tile(row, 2), np.array([0, len(row), 2 * len(row)]), texts)
    holds = apply_battery(tokens).where("among:digits")
    expected = [sum(digits[max(0, place - AMONG) : place]) >= AT_LEAST for place in row]
    assert holds.tolist() == expected * 2


def test_rows_do_not_see_each_other() -> None:
    split = token_words(np.tile(ROW, 2), np.array([0, len(ROW), 2 * len(ROW)]), TEXTS)
    holds = apply_battery(split).holds.toarray()
    assert (holds[: len(ROW)] == holds[len(ROW) :]).all()


def test_names_are_plain_words_without_control_characters_or_stop_words(predicates) -> None:
    stop = word_lists()[FUNCTION_WORDS] - {
        "of",
        "or",
        "and",
        "before",
        "after",
        "near",
        "among",
        "in",
        "up",
    }
    for predicate in predicates.predicates:
        assert predicate.name.isprintable() and predicate.name
        if predicate.source not in word_lists():  # those are named by their words, or by their use
            relation, _, source = predicate.id.partition(":")
            assert relation in {"on", "after", "before", "near", "in", "among"} and source
            words = {word.strip("-,") for word in predicate.name.split()}
            assert not words & (stop - {"having", "being", "a", "the", "inside", "with"})


def test_every_predicate_has_an_id_of_its_own(predicates) -> None:
    ids = [predicate.id for predicate in predicates.predicates]
    assert len(set(ids)) == len(ids) == predicates.holds.shape[1]
