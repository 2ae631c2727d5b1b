"""The optimised prompt: one note for all items, learnt on the fit split within its budget."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from saetask.annotation.fixed_notes import GENERIC
from saetask.detection.calibration import Calibration
from saetask.experiments.prompt_optimisation import (
    MAX_CHARACTERS,
    VALIDATION_SAMPLES,
    optimised_note,
)
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import make_lab

BUDGET = 60
SEED_NOTE = GENERIC.notes[0]


@pytest.fixture(scope="module")
def lab(tiny_model, tiny_sae):
    return make_lab(tiny_model, tiny_sae, QuickProbe)


def arguments(lab):
    return lab.context, lab.fold.train, Calibration(1.0, {}), SEED_NOTE, BUDGET, 0


def optimise(lab, rewritten, monkeypatch):
    monkeypatch.setattr(
        "saetask.experiments.prompt_optimisation._rewrite", lambda context, request: rewritten
    )
    return optimised_note(*arguments(lab))


def test_only_train_samples_are_asked_and_no_more_than_the_budget(lab, monkeypatch):
    before = len(lab.context.client.requests)
    optimise(lab, "```\nThink of the temperature.\n```", monkeypatch)
    asked = lab.context.client.requests[before:]
    train, test = ({s.prompt.content for s in part} for part in lab.fold[:2])
    contents = [request.prompt.content.splitlines()[0] for request in asked]
    assert contents and set(contents) <= train and not set(contents) & test
    # GEPA looks at its budget between rounds: one round may go beyond it.
    assert len(asked) <= BUDGET + 50


def test_the_note_is_the_seed_or_what_was_rewritten_in_one_line(lab, monkeypatch):
    note = optimise(lab, "```\nThink of\nthe temperature.\n```", monkeypatch)
    assert note.text in (SEED_NOTE.text, "Think of the temperature.")
    assert note.annotator == "optimised-prompt" and note.placement == "end"
    assert len(optimise(lab, "long " * 200, monkeypatch).text) <= MAX_CHARACTERS


def test_notes_are_compared_on_the_fit_splits_own_samples_first(lab, monkeypatch):
    own = lab.fold.train
    borrowed = [replace(sample, auxiliary=True) for sample in lab.fold.test * 4]
    given = {}

    def optimize(trainset, valset, **options):
        given.update(trainset=trainset, valset=valset)
        return SimpleNamespace(best_candidate={"note": "Mind the weather."})

    monkeypatch.setattr("gepa.api.optimize", optimize)
    context, _, *others = arguments(lab)
    optimised_note(context, [*borrowed, *own], *others)
    assert set(given["valset"]) >= set(own) and len(given["valset"]) == VALIDATION_SAMPLES
    assert len(given["trainset"]) == len(own) + len(borrowed) - VALIDATION_SAMPLES


def test_without_gepa_the_extra_is_named(lab, monkeypatch):
    monkeypatch.setitem(sys.modules, "gepa.api", None)
    assert 'pip install "saetask[gepa]"' in refusal(optimised_note, *arguments(lab))
