"""A note mends only where it beats the original prompts and every control."""

from dataclasses import replace

import pytest

from saetask.discovery.mended import mended_documents
from tests.discovery.test_mending import ListeningClient, mend, slice_of


def mended(cure: str):
    mending = mend(ListeningClient(cure), slice_of(40))
    assert mending is not None
    (document,) = mended_documents([mending])
    return document


def test_a_note_that_helps_by_what_it_names_mends():
    found = mended("about loss")
    assert found.mended and found.verdict.startswith("The note mends: +100.0 points")
    assert found.holm_p == pytest.approx(2 * 0.5**20)
    assert [arm.arm for arm in found.arms][:2] == ["original", "mended"]


def test_a_note_that_helps_by_being_there_does_not():
    found = mended("(Note:")
    assert not found.mended and found.holm_p == 1
    assert "not shown to do more than placebo and generic and other-concept" in found.verdict


def test_a_note_without_effect_does_not():
    found = mended("never")
    assert not found.mended and "not shown to help" in found.verdict


def test_prompts_that_are_answered_otherwise_than_in_the_log_are_told():
    assert "But asked again" not in mended("never").verdict  # wrong in the log, and again
    mending = mend(ListeningClient("never"), slice_of(40))
    assert mending is not None and mending.accuracy_in_log == 0.0
    (found,) = mended_documents([mending._replace(accuracy_in_log=0.8)])
    assert "0.0 % of these prompts are answered rightly, and in the log 80.0 %" in found.verdict
    (unknown,) = mended_documents([mending._replace(accuracy_in_log=None)])
    assert "in the log" not in unknown.verdict and unknown.accuracy_in_log is None


def test_prompts_without_a_known_right_answer_are_told():
    assert "took no part" not in mended("never").verdict
    known = slice_of(40)
    items = [replace(x, target=None) if n % 4 == 1 else x for n, x in enumerate(known.items)]
    found = mend(ListeningClient("never"), known._replace(items=items))
    assert found is not None
    (document,) = mended_documents([found])
    n = sum(each.target is None for each, half in zip(items, known.confirmation) if half)
    assert document.n_without_target == n
    assert f" {n} more prompts, whose right answer the log does not tell" in document.verdict


def test_notes_are_corrected_over_the_discoveries():
    one = mend(ListeningClient("about loss"), slice_of(40))
    assert one is not None
    both = mended_documents([one, one._replace(id="on:gain")])
    assert both[0].holm_p == pytest.approx(4 * 0.5**20)
