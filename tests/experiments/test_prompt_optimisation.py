"""The optimised prompt: one note for all items, learnt on the fit split within its budget."""

import sys

import pytest

from saetask.detection.calibration import Calibration
from saetask.experiments.arms import GENERIC
from saetask.experiments.prompt_optimisation import LONGEST, optimised_note
from saetask_plugins.detectors.failure_probe import FailureProbe
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import make_lab

BUDGET = 60


@pytest.fixture(scope="module")
def lab(tiny_model, tiny_sae, few_choices):
    return make_lab(tiny_model, tiny_sae, FailureProbe)


def optimise(lab, rewritten, monkeypatch):
    monkeypatch.setattr(
        "saetask.experiments.prompt_optimisation._rewrite", lambda context, request: rewritten
    )
    fit = lab.study.folds[0].fit
    calibration = Calibration(1.0, {})
    return optimised_note(lab.context, lab.study.samples, fit, calibration, BUDGET, 0)


def test_only_fit_items_are_asked_and_no_more_than_the_budget(lab, monkeypatch):
    before = len(lab.context.asker.asked)
    optimise(lab, "```\nThink of the temperature.\n```", monkeypatch)
    asked = lab.context.asker.asked[before:]
    fit = {lab.study.samples[i].prompt.content for i in lab.study.folds[0].fit}
    test = {lab.study.samples[i].prompt.content for i in lab.study.folds[0].test}
    contents = [sample.prompt.content.splitlines()[0] for sample in asked]
    assert contents and set(contents) <= fit and not set(contents) & test
    # GEPA looks at its budget between rounds: one round may go beyond it.
    assert len(asked) <= BUDGET + 50


def test_the_note_is_the_seed_or_what_was_rewritten_in_one_line(lab, monkeypatch):
    note = optimise(lab, "```\nThink of\nthe temperature.\n```", monkeypatch)
    assert note.text in (GENERIC.text, "Think of the temperature.")
    assert note.annotator == "optimised-prompt" and note.placement == "end"
    assert len(optimise(lab, "long " * 200, monkeypatch).text) <= LONGEST


def test_without_gepa_the_extra_is_named(lab, monkeypatch):
    monkeypatch.setitem(sys.modules, "gepa.api", None)
    samples, fit = lab.study.samples, lab.study.folds[0].fit
    arguments = (lab.context, samples, fit, Calibration(1.0, {}), BUDGET, 0)
    assert 'pip install "saetask[gepa]"' in refusal(optimised_note, *arguments)
