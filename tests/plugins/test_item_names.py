"""Groups and ids of the six tasks' item files: 0 is a name, and what is none is refused."""

import pytest

from saetask_plugins.tasks.figurative_qa import FigurativeQA
from saetask_plugins.tasks.gsm8k import GSM8K
from saetask_plugins.tasks.metaphor import Metaphor
from saetask_plugins.tasks.multiple_choice import MultipleChoice
from saetask_plugins.tasks.word_problems import WordProblems
from saetask_plugins.tasks.word_sense import WordSense
from tests.helpers.item_rows import PROBLEM, SENTENCE
from tests.helpers.refusals import refusal

WORDS = {
    "word": "sail",
    "sentence1": "They sail.",
    "sentence2": "We sail.",
    "target1": "sail",
    "target2": "sail",
    "start1": 5,
    "start2": 3,
    "label": "same",
}
ROWS = [
    (Metaphor(), SENTENCE),
    (WordProblems(), PROBLEM),
    (GSM8K(), PROBLEM),
    (MultipleChoice(), {"prompt": "Which?", "choices": ["a", "b"], "label": 0}),
    (FigurativeQA(), {"phrase": "A rock.", "endings": ["Calm.", "Wild."], "label": 0}),
    (WordSense(), WORDS),
]
by_task = pytest.mark.parametrize(("task", "row"), ROWS, ids=[task.name for task, _ in ROWS])


@by_task
def test_groups_and_ids_of_0_are_names_like_others(items_file, task, row):
    rows = [{**row, "id": i, "group": group} for i, group in enumerate([0, 0.0, "0", 1, 1.0])]
    items = task.items(items_file(*rows))
    assert [item.id for item in items] == ["0", "1", "2", "3", "4"]
    assert [item.group for item in items] == ["0", "0", "0", "1", "1"]


@by_task
def test_an_absent_group_is_the_tasks_choice(items_file, task, row):
    for given in ({}, {"group": None}):
        (item,) = task.items(items_file({**row, "id": 0, **given}))
        assert item.group not in ("0", "None", "")


@by_task
@pytest.mark.parametrize("value", [True, False, "", " ", [0], {}])
@pytest.mark.parametrize("field", ["id", "group"])
def test_a_group_or_id_that_is_no_name_is_refused_by_line_and_field(
    items_file, task, row, field, value
):
    path = items_file({**row, "id": 0}, {**row, "id": 1, field: value})
    assert refusal(task.items, path).startswith(f"{path}:2: field '{field}': ")


@by_task
@pytest.mark.parametrize("value", [True, "0", 0.5, None])
def test_a_label_or_answer_of_another_kind_is_refused(items_file, task, row, value):
    field = "label" if "label" in row else "answer"
    path = items_file({**row, "id": 0, field: "zero" if value == 0.5 else value})
    assert refusal(task.items, path).startswith(f"{path}:1: field '{field}': ")
