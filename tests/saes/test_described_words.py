"""A name describes the words on which its predicate holds, and no others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saetask.data.class_names import classes_together
from saetask.data.word_classes import class_names, word_lists
from saetask.dictionary.naming.battery import apply_battery
from saetask.dictionary.naming.token_words import token_words
from saetask.saes.described_words import describes

SOURCES = [*class_names(), *classes_together(class_names()), *word_lists()]
WORDS = ["boat", "rocks", "swallowed", "Grief", "never", "seven", "the", "Doubt", "running", "xyz"]


@settings(max_examples=10)  # each applies the whole battery
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6))
def test_a_name_describes_the_words_on_which_its_predicate_holds(words) -> None:
    row = np.arange(len(words))
    tokens = token_words(row, np.array([0, len(row)]), [f" {word}" for word in words])
    holds = apply_battery(tokens)
    for source in SOURCES:
        expected = holds.where(f"on:{source}").tolist()
        assert [describes(f"on:{source}", word) for word in words] == expected


@pytest.mark.parametrize(
    "concept_id", ["near:noun.food", "promotes:noun.food", "on:plurals", "feature:3", "contrast:x"]
)
def test_names_that_tell_nothing_of_a_single_word_describe_none(concept_id) -> None:
    assert describes(concept_id, "soup") is None
    assert describes("on:noun.food", "") is None
