"""The converters of public data sets: rows as published become items that the tasks read."""

import json
import runpy
import sys

import pytest

from saetask.plugins import PluginRegistry

COMMAND = "benchmarks.convert_items"
FIG_QA = {
    "startphrase": "The tent was a sieve.",
    "ending1": "The tent was dry.",
    "ending2": "The tent was not dry.",
    "labels": "1",
    "valid": "1",
    "qid": "10",
}
WIC = {
    "word": "Bank",
    "pos": "N",
    "idx1": 1,
    "idx2": 4,
    "s1": "Two banks lent us money .",
    "s2": "Reeds grew along the bank .",
    "same_sense": False,
}
GSM8K = {
    "question": "Ann packs 3 boxes of 4 figs and eats 2. How many?",
    "answer": "She packs 3*4=<<3*4=12>>12.\nThen 12-2=<<12-2=10>>10 are left.\n#### 1,010",
}
SVAMP = {"ID": "c1", "Body": "Each pack costs $.50", "Question": "How much are 4?", "Answer": 2.0}
TASK_OF = {"fig-qa": "figurative-qa", "wic": "word-sense", "gsm8k": "gsm8k"}
ROWS = {"fig-qa": FIG_QA, "wic": WIC, "gsm8k": GSM8K}


@pytest.fixture
def convert(items_file, tmp_path, monkeypatch):
    """Returns a function that runs the command on rows: its exit code and the items it wrote."""

    def run(kind, *rows):
        out = tmp_path / "out.jsonl"
        source = items_file(*rows, name="source.jsonl")
        monkeypatch.setattr(sys, "argv", [COMMAND, kind, str(source), str(out)])
        with pytest.raises(SystemExit) as left:
            runpy.run_module(COMMAND, run_name="__main__")
        lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
        return left.value.code, [json.loads(line) for line in lines]

    return run


@pytest.mark.parametrize("kind", ROWS)
def test_a_converted_row_is_an_item_of_its_task(convert, items_file, kind):
    code, rows = convert(kind, ROWS[kind], ROWS[kind])
    task = PluginRegistry().get("task", TASK_OF[kind])
    items = task.items(items_file(*rows))
    assert code == 0
    assert [item.id for item in items] == [f"{kind}-1", f"{kind}-2"]
    assert items[0].group == items[1].group
    assert task.gold_reading(items[0]) in task.readings


def test_a_row_of_fig_qa_keeps_its_endings_and_its_pair(convert):
    _, (row,) = convert("fig-qa", FIG_QA)
    assert row["endings"] == ["The tent was dry.", "The tent was not dry."]
    assert (row["label"], row["group"]) == (1, "fig-qa-10")


def test_invalid_rows_of_fig_qa_are_left_out_and_counted(convert, capsys):
    code, rows = convert("fig-qa", FIG_QA, {**FIG_QA, "valid": "0"})
    assert (code, len(rows)) == (0, 1)
    assert "left out 1: marked as not valid" in capsys.readouterr().err


def test_a_row_of_wic_gets_the_places_of_its_words(convert):
    _, (row,) = convert("wic", WIC)
    for n in "12":
        start, target = row[f"start{n}"], row[f"target{n}"]
        assert row[f"sentence{n}"][start : start + len(target)] == target
    assert (row["target1"], row["target2"]) == ("banks", "bank")
    assert (row["label"], row["group"]) == ("different", "bank")


def test_a_row_of_gsm8k_gets_its_number_and_its_operations_in_order(convert):
    _, (row,) = convert("gsm8k", GSM8K)
    assert (row["answer"], row["operations"]) == (1010, ["multiplication", "subtraction"])


@pytest.mark.parametrize(
    ("calculations", "operations"),
    [
        ("<<2*(3+4)=14>>", ["addition", "multiplication"]),
        ("<<100-50-30=20>>", ["subtraction", "subtraction"]),
        ("<<-3+5=2>><<2/.5=4>>", ["addition", "division"]),
        ("<<5=5>>", None),
        ("<<3*4=12>><<3x+1=10>>", None),
        ("<<7//2=3>>", None),
        ("", None),
    ],
)
def test_operations_are_named_where_every_calculation_can_be_read(
    convert, calculations, operations
):
    _, (row,) = convert("gsm8k", {**GSM8K, "answer": f"{calculations} #### 7"})
    assert row.get("operations") == operations


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("fig-qa", "labels", "2"),
        ("fig-qa", "startphrase", ""),
        ("fig-qa", "qid", None),
        ("wic", "idx1", 6),
        ("wic", "idx2", "1"),
        ("wic", "same_sense", "no"),
        ("gsm8k", "answer", "It is 7."),
        ("gsm8k", "answer", "#### seven"),
        ("gsm8k", "question", 7),
    ],
)
def test_a_row_that_does_not_fit_is_refused_by_line_and_field_and_nothing_is_written(
    convert, capsys, kind, field, value
):
    code, rows = convert(kind, ROWS[kind], {**ROWS[kind], field: value})
    assert (code, rows) == (2, [])
    assert f"source.jsonl:2: field '{field}': " in capsys.readouterr().err


def test_a_verb_keeps_its_place_and_label(convert):
    row = {"sentence": "The ship sailed .", "verb": "sail", "verb_idx": 2, "label": 0}
    _, (item,) = convert("moh-x", row)
    assert (item["target"], item["target_start"], item["label"]) == ("sailed", 9, "literal")


def test_problems_that_one_operation_does_not_solve_are_left_out(convert, capsys):
    rows = [
        {"id": "1", "question": "Ann has 7 figs and eats 2.", "answer": 5},
        {"id": "2", "question": "Ann has 7 figs and eats 2.", "answer": 6},
        {"id": "3", "question": "Ann has 7 figs.", "answer": 7},
    ]
    _, items = convert("addsub", *rows)
    assert [item["id"] for item in items] == ["addsub-1"]
    assert capsys.readouterr().err.count("left out 1") == 2


def test_a_row_of_svamp_is_a_problem_of_body_and_question(convert):
    code, (row,) = convert("svamp", SVAMP)
    assert code == 0
    assert (row["id"], row["answer"]) == ("svamp-c1", 2)
    assert row["question"] == "Each pack costs $.50, How much are 4?"


def test_a_row_of_svamp_is_a_problem_in_steps_with_the_operations_of_its_equation(convert):
    row = {**SVAMP, "Equation": "( ( 3.0 + 2.0 ) - 4.0 )"}
    code, (item,) = convert("svamp-steps", row)
    assert code == 0 and item["operations"] == ["addition", "subtraction"]
    assert item["question"] == "Each pack costs $.50, How much are 4?"
    _, (item,) = convert("svamp-steps", {**SVAMP, "Equation": "2.0"})
    assert "operations" not in item
