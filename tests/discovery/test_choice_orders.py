"""Choices in another order: each means what it meant, and nothing else of the prompt moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data.prompts import as_prompt
from saetask.discovery.choice_orders import listed_choices, other_orders

LETTERS = "Which is a drink?\nA. rice\nB. tea\nC) a boat\nAnswer:"


def at(content, spans):
    return [content[span.start : span.end] for span in spans]


def test_lettered_lines_and_lists_are_found():
    assert at(LETTERS, listed_choices(LETTERS, (" A", " B", " C"))) == ["rice", "tea", "a boat"]
    asked = "Does it rain? Answer yes, no or maybe."
    assert at(asked, listed_choices(asked, ("no", "yes", "maybe"))) == ["no", "yes", "maybe"]
    quoted = 'Is it "literal" or "metaphorical"?'
    assert listed_choices(quoted, ("literal", "metaphorical")) is not None


@pytest.mark.parametrize(
    ("content", "choices"),
    [
        ("Ann lost to Bo. Who won?", ("Ann", "Bo")),  # in a sentence, not in a list
        ("Is it so?", ("yes", "no")),
        ("yes or no? Say yes or no.", ("yes", "no")),  # twice
        ("A. rice\nB. tea\nSo?", ("A", "B", "C")),
        ("B. rice\nA. tea", ("A", "B")),
        ("yes or no?", ("yes", "yes")),
        ("notable", ("no", "table")),
    ],
)
def test_what_is_no_list_is_left_alone(content, choices):
    assert listed_choices(content, choices) is None
    assert other_orders(as_prompt(content), choices, 5, 0) == []


def test_letters_stand_for_other_texts_and_say_for_which():
    for found in other_orders(as_prompt(LETTERS), ("A", "B", "C"), 5, 0):
        lines = dict(line.split(" ", 1) for line in found.prompt.content.splitlines()[1:4])
        meant = dict(zip(("A.", "B.", "C)"), found.meant))
        before = {"A": "rice", "B": "tea", "C": "a boat"}
        assert {label: before[meant[label]] for label in lines} == lines


def test_the_last_of_several_lists_is_reordered():
    shots = f"{LETTERS} B\n\n{LETTERS}"
    (found,) = other_orders(as_prompt(shots), ("A", "B", "C"), 1, 0)
    assert found.prompt.content.startswith(f"{LETTERS} B\n\n")
    assert found.prompt.content != shots


@given(st.integers(2, 5), st.integers(1, 6), st.integers(0, 99))
def test_orders_differ_and_hold_the_same_texts(n_choices, n, seed):
    choices = ["red", "green", "blue", "black", "white"][:n_choices]
    content = f"Which? Say {', '.join(choices)}."
    found = other_orders(as_prompt(content), choices, n, seed)
    texts = [each.prompt.content for each in found]
    assert len(set(texts)) == len(texts) <= n and content not in texts
    assert all(sorted(text) == sorted(content) for text in texts)
    assert all(each.meant == tuple(choices) for each in found)
    assert len(found) == 1 if n_choices == 2 else found
