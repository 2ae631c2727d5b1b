"""A concept file is checked row by row, and example sentences are tried on sentences held out."""

import json

import pytest

from saetask import UserError
from saetask.dictionary.naming.user_concepts import (
    MIN_SENTENCES,
    UserConcept,
    contrast_concept,
    read_user_concepts,
    word_lists_of,
)
from tests.helpers.words import SEA

WITH = [f"The old {word} sea was there at {n}." for n, word in enumerate(["x", "y"] * 6)]
WITHOUT = [f"The old {word} road was there at {n}." for n, word in enumerate(["x", "y"] * 6)]


def written(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_words_and_sentences_are_read(tmp_path) -> None:
    path = written(
        tmp_path / "c.jsonl",
        {"name": "sweets", "words": ["Honey", "candy"]},
        {"name": "the sea", "examples": WITH, "others": WITHOUT},
    )
    concepts = read_user_concepts(path)
    assert [concept.name for concept in concepts] == ["sweets", "the sea"]
    assert word_lists_of(concepts) == {"sweets": {"honey", "candy"}}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([{"words": ["a"]}], "name"),
        ([{"name": "x"}], "either words"),
        ([{"name": "x", "words": ["a"], "examples": WITH}], "either words"),
        ([{"name": "x", "examples": WITH[:2], "others": WITHOUT}], str(MIN_SENTENCES)),
        ([{"name": "x", "words": ["a"], "colour": 1}], "colour"),
        ([{"name": "x", "words": ["a"]}] * 2, "twice"),
        ([{"name": " ", "words": ["a"]}], "must not be empty"),
        ([{"name": "x", "words": ["two words"]}], "single words"),
        ([{"name": "negation", "words": ["a"]}], "built-in"),
    ],
)
def test_a_row_that_does_not_fit_is_one_line_with_its_place(tmp_path, rows, reason) -> None:
    with pytest.raises(UserError, match=reason) as error:
        read_user_concepts(written(tmp_path / "c.jsonl", *rows))
    assert "c.jsonl" in str(error.value) and "\n" not in str(error.value)


def test_sentences_give_the_features_that_tell_them_apart(tiny_model, word_sae) -> None:
    concept = UserConcept(name="the sea", examples=WITH, others=WITHOUT)
    tried = contrast_concept(concept, tiny_model, word_sae)
    assert tried.concept.features == (SEA,)
    assert tried.auroc == 1.0 and tried.concept.verdict == "validated"


def test_sentences_that_no_feature_tells_apart_are_refused(tiny_model, word_sae) -> None:
    concept = UserConcept(name="nothing", examples=WITH, others=WITH)
    with pytest.raises(UserError, match="no feature fires in more"):
        contrast_concept(concept, tiny_model, word_sae)
