"""A run without any finding says why."""

import pytest

from saetask.cli.run_summary import silence_lines


def summary(annotated, *silences):
    folds = [{} if silence == "" else {"silence": silence} for silence in silences]
    return {"arms": {"saetask": {"annotated": annotated}}, "selection": {"folds": folds}}


def test_a_run_with_findings_says_nothing() -> None:
    assert silence_lines(summary(1, "the features predict nothing")) == []


def test_a_run_without_a_finding_gives_the_reason_of_each_fold() -> None:
    head, *lines = silence_lines(summary(0, "nothing there", None))
    assert "No finding at all" in head
    assert lines == ["fold 1: nothing there"]


@pytest.mark.parametrize("silence", [None, ""])
def test_a_run_whose_answers_are_all_as_read_says_so(silence) -> None:
    (line,) = silence_lines(summary(0, silence, silence))
    assert "No finding at all" in line and "the model's answer is the most probable" in line
