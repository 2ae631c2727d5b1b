"""What findings say of examples is held against the right readings of the tested items."""

import json

import pytest

from benchmarks.examples_hold import main
from saetask.detection.alike_prompts import AlikePrompts
from saetask.report.finding_record import misunderstanding_record
from tests.helpers.planted_evidence import concept, planted_finding

EXAMPLES = AlikePrompts(n=40, share=0.8, of_all=0.5, activity=1.0, usual=2.0)


@pytest.fixture
def run(tmp_path):
    concepts = [
        concept("food", 1.2, "soup")._replace(alike=EXAMPLES),
        concept("feelings", -0.4, "insult")._replace(alike=EXAMPLES._replace(share=0.25)),
    ]
    record = misunderstanding_record(planted_finding(concepts=concepts)).to_json()
    rows = [
        {
            **{"id": str(number), "arm": "saetask", "group": str(number), "prompt": "p"},
            **{"output": "x", "parsed": parsed, "correct": correct, "fold": 0, "seed": 0},
            **{"misunderstandings": [record], "annotations": [], "rounds": []},
            "scores": {},
        }
        for number, (parsed, correct) in enumerate(
            [("literal", True), ("metaphorical", False), ("literal", False), (None, False)]
        )
    ]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_the_right_reading_is_told_by_the_answer_and_whether_it_is_right(run, capsys):
    assert main([str(run)]) == 0
    (found,) = json.loads(capsys.readouterr().out).values()
    assert found["strongest"] == {
        **{"n": 4, "said": 0.8, "is": 0.5, "of_all": 0.5},
        "by_tenth": {"0.8": {"n": 4, "said": 0.8, "is": 0.5}},
    }
    assert found["listed"]["n"] == 8 and set(found["listed"]["by_tenth"]) == {"0.2", "0.8"}


def test_a_run_without_examples_is_refused(run, capsys):
    text = (run / "items.jsonl").read_text()
    (run / "items.jsonl").write_text(text.replace('"alike": {"n"', '"other": {"n"'))
    assert main([str(run)]) == 2
    assert capsys.readouterr().err
