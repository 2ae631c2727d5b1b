"""A concept file is checked row by row."""

import json

import pytest

from saetask import UserError
from saetask.dictionary.naming.user_concepts import (
    MIN_SENTENCES,
    read_user_concepts,
    word_lists_of,
)

WITH = [f"The old {word} sea was there at {n}." for n, word in enumerate(["x", "y"] * 6)]
WITHOUT = [f"The old {word} road was there at {n}." for n, word in enumerate(["x", "y"] * 6)]
MARKED = [text.replace("sea", "«sea»") for text in WITH]


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
        ([{"name": "x", "words": ["a"], "task": "metaphor"}], "task and quoted"),
        ([{"name": "x", "words": ["a"], "quoted": False}], "task and quoted"),
        ([{"name": "x", "words": ["a"]}] * 2, "twice"),
        ([{"name": " ", "words": ["a"]}], "must not be empty"),
        ([{"name": "x", "words": ["two words"]}], "single words"),
        ([{"name": "negation", "words": ["a"]}], "built-in"),
        ([{"name": "x", "examples": ["«a"] * 8, "others": WITHOUT}], "mark one word"),
        ([{"name": "x", "examples": MARKED, "others": WITHOUT}], "or in none"),
        ([{"name": "x", "examples": WITH, "others": WITHOUT, "asked": "?"}], "text"),
        ([{"name": "x", "examples": WITH, "others": WITHOUT, "asked": "{word} {text}"}], "word"),
    ],
)
def test_a_row_that_does_not_fit_is_one_line_with_its_place(tmp_path, rows, reason) -> None:
    with pytest.raises(UserError, match=reason) as error:
        read_user_concepts(written(tmp_path / "c.jsonl", *rows))
    assert "c.jsonl" in str(error.value) and "\n" not in str(error.value)
