"""The concept file of contrasts: no example is scored, and no verb tells two kinds apart."""

import json
import runpy
from collections import Counter
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "recipes" / "make_contrasts.py"
SCORED = "The lake swallowed the old village ."


@pytest.fixture
def recipe() -> dict:
    return runpy.run_path(str(SCRIPT))


def verb_row(number: int, label: int, verb: str = "swallow") -> dict:
    sentence = f"Somebody {verb}ed the great {'abcdefghij'[number]} word there ."
    return {"sentence": sentence, "verb": verb, "verb_idx": 1, "label": label}


def problem(name: str, solution: str) -> dict:
    return {"question": f"{name} has 4 apples and gets 3 a day. How many?", "answer": solution}


@pytest.fixture
def rows(recipe, items_file, sentences, capsys) -> list[dict]:
    built_in = sentences[0].question["sentence"]
    verbs = [verb_row(n, n % 2) for n in range(8)] + [verb_row(9, 1, "ask")]
    verbs += [{**verb_row(0, 1), "sentence": text} for text in (SCORED, built_in)]
    problems = [
        problem("some woman", "4+3 = <<4+3=7>>7\n#### 7"),
        problem("Ben", "It is 4+3 = 7\n#### 7"),
        problem("the boy", "4-3 = <<4-3=1>>1\n#### 1"),
        problem("the fox", "4+3 = <<4+3=7>>7\n#### 7"),
        problem("the girl", "4*3 = <<4*3=12>>12, 12-1 = <<12-1=11>>11\n#### 11"),
    ]
    body, asked = problem("the fox", "")["question"].split(". ")
    in_parts = {"Body": f"{body}.", "Question": asked}
    scored = items_file({"text": SCORED.replace(" .", ".").upper()}, in_parts, name="scored.jsonl")
    given = [str(items_file(*each, name=name)) for each, name in ((verbs, "v"), (problems, "p"))]
    assert recipe["main"]([*given, "--exclude", str(scored)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_nothing_scored_is_an_example(rows, sentences, recipe) -> None:
    texts = {recipe["letters"](example["text"]) for row in rows for example in row["examples"]}
    for known in (SCORED, sentences[0].question["sentence"]):
        assert recipe["letters"](known) not in texts


def test_an_example_that_is_scored_stops_it(recipe) -> None:
    row = {"examples": [{"text": "The lake «swallowed» the old village."}], "others": []}
    with pytest.raises(AssertionError, match="a scored text"):
        recipe["check_not_scored"](row, {recipe["letters"](SCORED)})


def test_each_verb_is_as_often_of_either_kind(rows) -> None:
    one, other = (Counter(e["group"] for e in row["examples"]) for row in rows[:2])
    assert one == other == {"swallow": 2}
    assert all("«swallowed»" in example["text"] for example in rows[0]["examples"])


def test_problems_are_those_of_one_marked_operation(rows) -> None:
    found = {row["name"]: [e["text"].split()[0] for e in row["examples"]] for row in rows[2:]}
    assert found["problems of addition"] == ["some"]
    assert found["problems of subtraction"] == ["the"]
    assert found["problems of multiplication"] == found["problems of division"] == []


def test_sentences_are_asked_about_as_the_tasks_do(rows) -> None:
    assert rows[0]["asked"] == 'Is "{word}" used literally or metaphorically?\n"{text}"'
    assert rows[2]["asked"].endswith("\n{text}")
