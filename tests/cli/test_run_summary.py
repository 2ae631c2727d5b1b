"""The end of a run: its arms, what they show, and why there is no finding."""

import pytest

from saetask.cli.run_summary import arms_table, conclusion_lines, silence_lines
from saetask.detection.silence import NO_SIGNAL
from saetask.report.questions import answers, verdicts_line
from saetask.report.sentences import MISREAD
from saetask.report.summary import Summary
from tests.helpers.run_folders import GATED, summary, with_raw


def run_of(annotated, *silences):
    folds = [{"n_fit": 28} | ({"silence": silence} if silence else {}) for silence in silences]
    return {"arms": {"saetask": {"annotated": annotated}}, "selection": {"folds": folds}}


def test_a_run_with_findings_says_nothing() -> None:
    assert silence_lines(run_of(1, "the features predict nothing")) == []


def test_a_run_without_a_finding_gives_the_reason_of_each_fold() -> None:
    head, *lines = silence_lines(run_of(0, "nothing there", None))
    assert "No finding at all" in head
    assert lines == ["fold 1, fitted on 28 items: nothing there"]


def test_more_items_are_advised_where_the_features_predict_nothing() -> None:
    *_, last = silence_lines(run_of(0, NO_SIGNAL, NO_SIGNAL))
    assert "--limit" in last and "--fit-data" in last


@pytest.mark.parametrize("silence", [None, ""])
def test_a_run_whose_answers_are_all_as_read_says_so(silence) -> None:
    (line,) = silence_lines(run_of(0, silence, silence))
    assert (
        "No finding at all" in line and "the model's calibrated answer is the most probable" in line
    )


def test_the_table_has_raw_and_calibrated_answers_with_their_tests() -> None:
    cells = table_cells(with_raw(summary(**GATED)))
    names = [row[0].strip() for row in cells]
    assert names == ["original", "(chance)", "(majority)", "saetask", "gate-only", "gated-placebo"]
    rows = dict(zip(names, cells))
    raw, calibrated = ["0.500", "0.44..0.56", "", ""], ["0.520", "0.46..0.58", "", ""]
    assert rows["original"][1:] == ["0", *raw, *calibrated]
    assert rows["(majority)"][1:] == ["", "0.480", "", "", "", "0.480", "", "", ""]
    raw, calibrated = ["0.700", "0.64..0.76", "90/11", "2e-09"], ["0.741", "0.68..0.80", "131/33"]
    assert rows["saetask"][1:] == ["300", *raw, *calibrated, "3e-15"]


def test_a_run_without_raw_answers_has_a_table_too() -> None:
    original, saetask = table_cells(summary())
    assert original[1:] == ["0", "", "", "", "", "0.520", "0.46..0.58", "", ""]
    assert saetask[6] == "0.741"


def table_cells(document):
    """Returns the texts of the table's cells, by row."""
    table = arms_table(Summary.model_validate(document))
    columns = [list(column.cells) for column in table.columns]
    rows = zip(*columns, strict=True)
    return [[cell for cell in row if cell is not None] for row in rows]


def test_what_is_not_shown_the_six_questions_and_the_sense_of_misread_follow() -> None:
    read = Summary.model_validate(with_raw(summary(**GATED)))
    first, *lines, last = conclusion_lines(read)
    assert first == verdicts_line(answers(read)) and last == MISREAD
    assert [line.partition("?")[0] for line in lines] == [
        answer.question.rstrip("?") for answer in answers(read)
    ]
