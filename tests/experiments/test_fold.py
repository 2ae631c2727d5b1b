"""A fold's state: what is fitted on its training samples, and what is kept of it."""

import pytest

from saetask.detection.calibration import tested_calibration
from saetask.experiments.note_selection import choose_note
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.touch_task import make_lab


@pytest.fixture(scope="module")
def lab(tiny_model, tiny_sae):
    return make_lab(tiny_model, tiny_sae, QuickProbe)


@pytest.fixture(scope="module")
def state(lab):
    return lab.fit_fold()


def test_calibration_samples_are_drawn_from_the_train_samples_whatever_is_found_in_them(lab, state):
    assert state.fold == lab.fold
    assert state.calibration == lab.fold.train  # there are fewer than the maximum
    few = lab.fit_fold(settings=lab.context.settings.__class__(calibration_samples=7))
    assert len(few.calibration) == 7 and set(few.calibration) <= set(lab.fold.train)


def test_the_calibration_of_the_chosen_template_is_kept_for_sessions(state, lab):
    index = lab.note_scores.templates.index(state.pipeline.template)
    assert state.pipeline.template.annotator is lab.context.annotators[0]
    assert state.pipeline.template.number == state.selection["wording"]
    fitted = tested_calibration(lab.note_scores.of(index, lab.fold.train))
    assert state.pipeline.note_bias == fitted


def test_findings_of_every_detector_are_of_tested_samples_alone(state, lab):
    named = {"saetask", "moved-weights", "random-subset", "dense-probe"}
    assert set(state.detectors.findings) == named | {"random-sae", "random-sae-2", "random-sae-3"}
    for name in state.detectors.findings:
        assert list(state.findings(name)) == lab.fold.test
        assert list(state.misunderstandings(name)) == lab.fold.test


def test_each_arms_fixed_note_is_the_one_that_the_train_samples_chose(state, lab):
    assert set(state.fixed_notes) == {"generic", "placebo"}
    for arm, note in state.fixed_notes.items():
        assert note == choose_note(lab.fixed_notes[arm], lab.fold.train)
        assert note.annotator == arm
