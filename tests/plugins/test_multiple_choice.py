"""Lettered choices: how they are shown, found in an output, and refused."""

import pytest

from saetask.data import Item
from saetask_plugins.tasks.multiple_choice import LETTERS, MultipleChoice
from tests.helpers.refusals import refusal

TASK = MultipleChoice()
ITEM = Item("x", "g", {"prompt": "Which floats?", "choices": ["a stone", "a cork"]}, "B")


def test_the_choices_are_shown_with_a_letter_each_and_the_letters_are_ranked():
    assert TASK.prompt(ITEM).content == "Which floats?\nA. a stone\nB. a cork"
    assert [tuple(candidate) for candidate in TASK.candidates(ITEM)] == [(" A", "A"), (" B", "B")]


@pytest.mark.parametrize("n", [0, 1, len(LETTERS) + 1, 40])
def test_more_or_fewer_choices_than_there_are_letters_are_refused(items_file, n):
    row = {"id": 1, "prompt": "Which?", "choices": [f"it is {i}" for i in range(n)], "label": 0}
    path = items_file(row)
    assert refusal(TASK.items, path).startswith(f"{path}:1: field 'choices': expected 2 to 8")


@pytest.mark.parametrize("other", ["the café", " the café\n", "the cafe\u0301", "the  café"])
def test_equal_choices_are_refused_in_a_file_and_in_a_text(items_file, other):
    row = {"id": 1, "prompt": "Where?", "choices": ["the café", "a sea", other], "label": 0}
    path = items_file(row)
    line = refusal(TASK.items, path)
    assert line.startswith(f"{path}:1: field 'choices': expected different choices, found")
    text = f"Where?\nA. the café\nB. a sea\nC. {other.strip()}"
    assert "twice" in refusal(TASK.question_from_text, text, None)


def test_choices_that_differ_in_case_are_different(items_file):
    row = {"id": 1, "prompt": "What shines?", "choices": ["Polish", "polish"], "label": 0}
    (item,) = TASK.items(items_file(row))
    assert item.gold == "A"


def test_as_many_choices_as_there_are_letters_can_be_asked(items_file):
    choices = [f"it is {i}" for i in range(len(LETTERS))]
    (item,) = TASK.items(items_file({"id": 1, "prompt": "Which?", "choices": choices, "label": 7}))
    assert len(TASK.candidates(item)) == len(choices)
    assert TASK.gold_reading(item) == "H"


@pytest.mark.parametrize("label", [-1, 2, "B"])
def test_a_label_that_is_no_place_among_the_choices_is_refused(items_file, label):
    path = items_file({"id": 1, "prompt": "Which?", "choices": ["a", "b"], "label": label})
    assert refusal(TASK.items, path).startswith(f"{path}:1: field 'label': ")


@pytest.mark.parametrize(
    ("output", "parsed"),
    [
        (" B", "B"),
        ("B. a cork", "B"),
        ("(A) or (B)", "A"),
        ("A is right", "A"),
        ("A cork floats, so B", "B"),
        ("It is B, not A.", "B"),
        ("Because", None),
        ("C", None),
        ("B because A is false", "B"),
        ("B as stated", "B"),
        ("a", "A"),
        ("A's", None),
    ],
)
def test_the_letter_that_an_output_states_is_the_answer(output, parsed):
    score = TASK.score(ITEM, output)
    assert (score.parsed, score.correct) == (parsed, parsed == "B")


def test_a_users_text_is_taken_apart_and_shown_again_as_it_was():
    text = "Two lines.\nWhich floats?\nA. a stone\nB. a cork\nC. an anvil"
    item = TASK.question_from_text(text, None)
    assert item.question["choices"] == ["a stone", "a cork", "an anvil"]
    assert TASK.prompt(item).content == text


@pytest.mark.parametrize("form", ["{}. {}", "{}) {}", "({}) {}", "  {}: {}"])
def test_choices_may_be_lettered_in_several_ways(form):
    lines = [form.format(letter, word) for letter, word in zip("AB", ("yes", "no"), strict=True)]
    item = TASK.question_from_text("\n".join(["A. Lincoln was", "tall?", *lines]), None)
    assert item.question == {"prompt": "A. Lincoln was\ntall?", "choices": ["yes", "no"]}


def test_a_line_of_the_question_that_looks_like_a_choice_belongs_to_the_question():
    item = TASK.question_from_text("A. Lincoln was tall?\nA. yes\nB. no", None)
    assert item.question == {"prompt": "A. Lincoln was tall?", "choices": ["yes", "no"]}


@pytest.mark.parametrize(
    "text", ["", "Which?", "A. one\nB. two", "Which?\nA. one", "Which?\nB. one\nA. two", "A. b\nB"]
)
def test_a_users_text_without_lettered_choices_is_refused(text):
    assert "choices" in refusal(TASK.question_from_text, text, None)
