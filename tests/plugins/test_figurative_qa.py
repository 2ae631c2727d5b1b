"""Which ending affirms and which denies, and what follows where that is not told."""

import pytest

from saetask.data import Item
from saetask_plugins.tasks.figurative_qa import FigurativeQA
from tests.helpers.refusals import refusal

TASK = FigurativeQA()


def item_of(first, second, label=0):
    return Item("x", "g", {"phrase": "He was a rock.", "endings": [first, second]}, label)


def readings(first, second):
    return [candidate.reading for candidate in TASK.candidates(item_of(first, second))]


@pytest.mark.parametrize(
    "ending",
    [
        "He was not calm.",
        "He cannot move.",
        "He wasn't calm.",
        "He didn’t move.",
        "He had NO fear.",
        "Never did he move.",
        "He hardly moved.",
        "He had little patience.",
        "Few believed him.",
        "He lacked warmth.",
        "He was unmoved.",
        "Unhappy, he stood there.",
    ],
)
def test_an_ending_with_a_negation_denies(ending):
    assert readings(ending, "He was calm.") == ["denied", "affirmed"]


@pytest.mark.parametrize(
    "ending",
    [
        "He knew the knot.",
        "He stood under the tent until noon.",
        "His uncle noted it.",
        "The unit was unique.",
        "They were united in one union.",
        "The littlest lion nodded.",
        "He went into the canteen.",
    ],
)
def test_words_that_only_look_like_a_negation_affirm(ending):
    assert readings(ending, "He was not calm.") == ["affirmed", "denied"]


@pytest.mark.parametrize("label", [0, 1])
def test_the_gold_reading_is_the_right_endings_where_one_of_the_two_denies(label):
    item = item_of("He was calm.", "He was not calm.", label)
    assert TASK.gold_reading(item) == ("affirmed", "denied")[label]
    (right,) = [c for c in TASK.candidates(item) if TASK.score(item, c.text).correct]
    assert right.reading == TASK.gold_reading(item)


@pytest.mark.parametrize(
    "endings", [("He was calm.", "He was wild."), ("He was not calm.", "He was never wild.")]
)
def test_endings_that_both_affirm_or_both_deny_have_one_reading_and_no_gold_reading(endings):
    item = item_of(*endings)
    assert len(set(readings(*endings))) == 1
    assert TASK.gold_reading(item) is None
    assert [TASK.score(item, c.text).correct for c in TASK.candidates(item)] == [True, False]


@pytest.mark.parametrize(
    "endings", [["a"], ["a", "b", "c"], ["a", "A "], ["é", "e\u0301"], "ab", ["a", " "]]
)
def test_anything_but_two_different_endings_is_refused(items_file, endings):
    path = items_file({"id": 1, "phrase": "He was a rock.", "endings": endings, "label": 0})
    assert refusal(TASK.items, path).startswith(f"{path}:1: field 'endings': ")


def test_sentences_with_the_same_endings_in_any_order_form_one_group(items_file):
    rows = [
        {"id": 1, "phrase": "He was a rock.", "endings": ["x", "y"], "label": 0},
        {"id": 2, "phrase": "He was a leaf.", "endings": ["y", "x"], "label": 0},
        {"id": 3, "phrase": "He was a tree.", "endings": ["x", "z"], "label": 0},
    ]
    first, second, third = TASK.items(items_file(*rows))
    assert first.group == second.group != third.group


def test_a_generated_output_states_the_ending_that_it_holds_first():
    item = item_of("He was calm.", "He was not calm.", 1)
    assert TASK.score(item, 'It means "he was not calm."').correct
    assert not TASK.score(item, "He was calm. He was not calm.").correct
    longer = item_of("He left.", "He left. He was sad.", 1)
    assert TASK.score(longer, "I think: He left. He was sad.").correct
    assert not TASK.score(longer, " He left.").correct


def test_a_users_text_has_three_lines():
    item = TASK.question_from_text("He was a rock.\nHe was calm.\nHe was not calm.", None)
    assert item.question == item_of("He was calm.", "He was not calm.").question
    assert item.gold is None
    assert "the prompt has 1" in refusal(TASK.question_from_text, "He was a rock.", None)
    assert "twice" in refusal(TASK.question_from_text, "He was a rock.\nHe ran.\nhe ran.", None)
