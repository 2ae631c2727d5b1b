"""Problems in several steps: their last operation, and the two ways to find an answer."""

import pytest

from saetask.data.folds import ItemSet, SplitConfig, all_samples, make_folds
from saetask_plugins.tasks.gsm8k import GSM8K
from tests.helpers.refusals import refusal

TASK = GSM8K()
ROW = {"id": "g1", "question": "Ann has 3 bags of 4 figs and eats 2. How many?", "answer": 10}


@pytest.mark.parametrize(
    ("operations", "reading"),
    [(["multiplication", "subtraction"], "subtraction"), (["division"], "division"), ([], None)],
)
def test_the_last_operation_is_the_gold_reading(items_file, operations, reading):
    (item,) = TASK.items(items_file({**ROW, "operations": operations}))
    assert TASK.gold_reading(item) == reading


def test_an_item_whose_operations_are_not_told_has_no_gold_reading(items_file):
    (item,) = TASK.items(items_file(ROW))
    assert TASK.gold_reading(item) is None
    assert TASK.score(item, "12 - 2 = 10\n#### 10").correct


@pytest.mark.parametrize("operations", [["minus"], "addition", [1], [None], ["addition", ""]])
def test_an_operation_that_is_none_of_the_four_is_refused(items_file, operations):
    path = items_file({**ROW, "operations": operations})
    assert refusal(TASK.items, path).startswith(f"{path}:1: field 'operations': ")


@pytest.mark.parametrize(
    ("output", "strict", "flexible"),
    [
        ("3*4=12\n12-2=10\n#### 10", True, True),
        ("#### $10.00", True, True),
        ("so 10 figs are left", False, True),
        ("12-2=10, and so on", False, True),
        ("#### 12", False, False),
        ("10, then 12", False, False),
    ],
)
def test_strictly_the_answer_is_stated_and_flexibly_the_last_number(
    items_file, output, strict, flexible
):
    (item,) = TASK.items(items_file(ROW))
    score = TASK.score(item, output)
    assert (score.correct, score.flexible_correct) == (strict, flexible)


def test_it_is_refused_where_answers_are_ranked_and_laid_out_where_they_are_generated(items_file):
    operations = ["addition"], ["subtraction"]
    rows = [{**ROW, "id": i, "group": i // 6, "operations": operations[i % 2]} for i in range(60)]
    items = ItemSet(TASK.items(items_file(*rows)), "the rows")
    config = SplitConfig(n_folds=3)
    assert "add --scoring generate" in refusal(lambda: make_folds(TASK, items, config))
    folds = make_folds(TASK, items, config, generate=True)
    assert all(not sample.candidates for sample in all_samples(folds))


def test_a_users_text_is_the_problem():
    assert TASK.question_from_text("How many figs?\n", None).question["question"]
    assert "empty" in refusal(TASK.question_from_text, " \n", None)
