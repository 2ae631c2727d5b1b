"""Words are led back to their lemma and get one of WordNet's 45 classes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data.word_classes import (
    class_names,
    class_of,
    lemma_of,
    regular_lemmas,
    word_classes,
)


@pytest.mark.parametrize(
    ("form", "lemma"),
    [
        ("candies", "candy"),
        ("ate", "eat"),
        ("stopped", "stop"),
        ("running", "run"),
        ("colder", "cold"),
        ("children", "child"),
        ("honey", "honey"),
        ("xyzzy", "xyzzy"),
    ],
)
def test_a_form_leads_to_its_lemma(form: str, lemma: str) -> None:
    assert lemma_of(form) == lemma


def test_words_have_the_class_of_their_most_frequent_sense() -> None:
    assert class_of("honey") == "noun.food"
    assert class_of("swallowed") == "verb.consumption"
    assert class_of("anger") == "noun.feeling"


def test_function_words_have_no_class_though_wordnet_lists_senses_of_them() -> None:
    assert [class_of(word) for word in ("is", "the", "he", "had", "can")] == [None] * 5


def test_there_are_the_45_lexicographer_files_of_which_each_word_has_one() -> None:
    assert len(class_names()) == 45
    assert {name.partition(".")[0] for name in class_names()} == {"adj", "adv", "noun", "verb"}


def test_the_classes_of_a_text_are_in_its_order() -> None:
    assert word_classes("She ate the honey, 7 times!") == [
        "verb.consumption",
        "noun.food",
        "noun.time",
    ]


@given(st.text())
def test_any_text_has_known_classes_only(text: str) -> None:
    assert set(word_classes(text)) <= set(class_names())


@given(st.from_regex(r"[a-z]{1,12}", fullmatch=True))
def test_a_candidate_lemma_is_a_stem_with_an_ending_of_a_lemma(form: str) -> None:
    assert all(lemma and len(lemma) <= len(form) + 1 for lemma in regular_lemmas(form))
