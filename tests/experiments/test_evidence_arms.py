"""The arms whose notes name concepts: what they write, where, and when they are left out."""

import re
from dataclasses import replace

import pytest

from saetask.experiments.arms import arms_named
from saetask.experiments.evidence_arms import (
    EVIDENCE,
    NOTES,
    SHUFFLED,
    evidence,
    evidence_for_fit,
    evidence_shuffled,
    evidence_template,
    right_evidence,
)
from saetask.experiments.note_selection import choose_template, score_notes
from saetask.experiments.runner import run_experiment
from tests.helpers.named_probe import OTHER, SAID, NamedProbe
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.touch_task import NO_BASELINE, TouchNote, make_lab

ARMS = ["original", EVIDENCE, SHUFFLED, "saetask"]


class Unvalidated(NamedProbe):
    """The same with names that were not validated."""

    verdict = "not validated"


@pytest.fixture(scope="module")
def lab(tiny_model, tiny_sae):
    return make_lab(tiny_model, tiny_sae, NamedProbe, annotator=TouchNote(), n_items=60)


@pytest.fixture(scope="module")
def state(lab):
    return lab.fit_fold(controls=(), settings=NO_BASELINE)


def texts(prompts):
    return {s: w.annotation.text for s, w in prompts.items() if w.annotation}


def thing(sample):
    return sample.prompt.content.split()[1]


def test_concepts_are_named_in_the_prompts_that_saetask_picks_and_in_no_other(state):
    own, written = state.misunderstandings("saetask"), texts(evidence(state, state.fold.test))
    assert list(written) == [sample for sample in state.fold.test if own[sample]]
    assert 0 < len(written) < len(state.fold.test)
    for sample, text in written.items():
        reading = own[sample][0].reading
        assert f"{SAID[reading]} {thing(sample)}" in text and f" {SAID[OTHER[reading]]}." in text
        assert not re.search(r"\b(warm|cold)\b", text)


def test_shuffled_evidence_is_that_of_another_group_on_the_same_prompts(state):
    written = texts(evidence(state, state.fold.test))
    shuffled = texts(evidence_shuffled(state, state.fold.test))
    assert list(shuffled) == list(written)
    things = {thing(sample) for sample in written}
    for sample, text in shuffled.items():
        (named,) = things & set(re.findall(r"\w+", text.split('"')[-1]))
        assert named != thing(sample)
        assert f'"{sample.prompt.content.split()[-2]}"' in text  # about this prompt's own word


def test_the_offset_is_fitted_on_the_right_readings_evidence_in_unselected_prompts(state):
    written = texts(evidence_for_fit(state, state.calibration))
    assert list(written) == state.calibration
    for sample, text in written.items():
        assert f"{SAID[sample.gold_reading]} {thing(sample)}" in text


def test_samples_whose_reading_was_not_fitted_have_no_right_evidence(state):
    assert right_evidence(state, state.fold.test[0]) == []  # nor has any tested one


def test_wording_and_place_are_the_ones_under_which_the_fit_split_is_answered_best(state):
    template = evidence_template(state)
    context = replace(state.context, annotators=[NOTES])
    scores = score_notes(
        context, [state.fold.train], state.seed, lambda s: right_evidence(state, s)
    )
    choice = choose_template(scores, state.fold.train)
    losses = [entry["fit_loss"] for entry in choice.losses]
    assert len(losses) > 4 and len(set(losses)) > 1
    assert losses[template.number] == pytest.approx(min(losses), abs=1e-4)


def run(lab, detector):
    context = replace(lab.context, make_detector=detector, settings=NO_BASELINE)
    return run_experiment([context], lab.folds, arms_named(ARMS), False, 0)


def test_the_arms_are_run_where_there_are_concepts(lab):
    result = run(lab, NamedProbe)
    assert result.left_out == {}
    noted = {row.arm for row in result.results if row.written.annotation}
    assert noted == {EVIDENCE, SHUFFLED, "saetask"}


@pytest.mark.parametrize("detector", [QuickProbe, Unvalidated])
def test_without_concepts_that_may_be_named_the_arms_are_left_out_with_the_reason(lab, detector):
    result = run(lab, detector)
    assert set(result.left_out) == {EVIDENCE, SHUFFLED}
    assert "failure-probe has a concept that a note may name" in result.left_out[EVIDENCE]
    assert {row.arm for row in result.results} == {"original", "saetask"}
