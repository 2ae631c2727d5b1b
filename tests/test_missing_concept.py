"""Concepts that fire or are missing in a prompt's text, on planted signatures."""

import json

import numpy as np
import pytest
from planted_readings import CONTENT, D_SAE, PLANTED, REGIONS, SPANS, Sample, activations
from refusals import refusal
from saetask_plugins.detectors.missing_concept import (
    NAMED_FEATURES,
    SILENT_FEATURES,
    MissingConcept,
)
from safetensors.numpy import load, save

from saetask import Reading
from saetask.arms import frequency_matched


@pytest.fixture(scope="module")
def planted():
    return Sample()


@pytest.fixture(scope="module")
def fitted(planted):
    return planted.fit(MissingConcept())


@pytest.fixture(scope="module")
def fresh():
    return Sample(seed=1)


@pytest.fixture(scope="module")
def found(fitted, fresh):
    return [fitted[0].detect(reading) for reading in fresh.readings]


def asked(firings, answer):
    """A prompt whose text has these firings, and the model's answer."""
    scores = {name: -0.1 if name == answer else -2.0 for name in "ab"}
    return Reading(activations({1: firings}, REGIONS), CONTENT, SPANS, scores)


# what there is to find is found


def test_planted_concepts_predict_failures_of_held_out_prompts(fitted, planted, found, fresh):
    assert planted.auroc(fitted[1]) > 0.8
    assert fresh.auroc(found) > 0.8


def test_findings_state_the_stronger_concept(found, fresh):
    stated = [
        (finding.misunderstandings[0], gold)
        for finding, gold in zip(found, fresh.golds, strict=True)
        if finding.misunderstandings
    ]
    assert 0.25 < len(stated) / len(found) < 0.55  # the model is wrong in 40 %
    assert np.mean([m.reading == gold for m, gold in stated]) > 0.7
    assert {m.detector for m, _ in stated} == {"missing-concept"}


def test_the_evidence_names_what_fires_and_then_what_is_silent(fitted):
    found = fitted[0].explain(asked({23: 5.0, 42: 3.0}, "a"), "b")
    firing = [e for e in found.features if e.activation]
    silent = [e for e in found.features if not e.activation]
    assert [e.id for e in firing] == [23, 42]
    assert [e.activation for e in firing] == pytest.approx([5.0, 3.0])
    assert all(e.weight > 0 for e in firing)
    assert {e.id for e in silent} == set(PLANTED["a"])
    assert all(e.weight < 0 for e in silent)
    assert found.features == [*firing, *silent]


def test_features_of_the_answers_concept_that_fire_are_not_called_silent(fitted):
    found = fitted[0].explain(asked({23: 5.0, 7: 3.0}, "a"), "b")
    assert 7 not in {e.id for e in found.features}
    assert 11 in {e.id for e in found.features}


def test_a_prompt_that_shows_the_answers_concept_misses_none(fitted):
    assert not fitted[0].detect(asked({7: 6.0, 11: 6.0}, "a")).misunderstandings
    assert not any(e.activation == 0 for e in fitted[0].explain(asked({}, "a"), "a").features)


def test_the_evidence_is_short(found):
    for finding in found:
        for misunderstanding in finding.misunderstandings:
            firing = [e for e in misunderstanding.features if e.activation]
            assert len(firing) <= NAMED_FEATURES
            assert len(misunderstanding.features) - len(firing) <= SILENT_FEATURES


def test_concepts_are_scored_in_standard_deviations_of_the_fit_split(fitted, planted):
    scores = fitted[0]._scores(planted.readings)
    assert scores.mean(0) == pytest.approx(0.0, abs=1e-6)
    assert scores.std(0) == pytest.approx(1.0, abs=1e-6)


def test_the_evidence_adds_up_to_the_difference_of_the_scores(fitted):
    detector = fitted[0]
    one, two = asked({7: 6.0}, "b"), asked({}, "b")
    scores = detector._scores([one, two])
    evidence = detector.explain(one, "a").features[0]
    gained = (scores[0] - scores[1]) @ [1, -1] * detector.stack[0]
    assert evidence.id == 7
    assert evidence.weight * np.log1p(evidence.activation) == pytest.approx(gained, rel=1e-5)


# and what is not there is not


@pytest.mark.parametrize("seed", [2, 3])
def test_features_that_carry_nothing_lead_to_nearly_no_findings(seed):
    sample = Sample(seed=seed, plant=False)
    detector, held_out = sample.fit(MissingConcept())
    fresh = Sample(seed=seed + 10, plant=False)
    findings = [detector.detect(reading) for reading in fresh.readings]
    assert np.mean([bool(f.misunderstandings) for f in [*held_out, *findings]]) < 0.02


def test_what_is_known_of_a_group_alone_does_not_help_on_prompts_held_out():
    sample = Sample(plant=False, group_features=True)
    _, held_out = sample.fit(MissingConcept())
    assert 0.35 < sample.auroc(held_out) < 0.65


def test_signatures_on_other_features_lose_the_signal(fitted, planted, fresh, found):
    density = sum(np.bincount(r.activations.features, minlength=D_SAE) for r in planted.readings)
    mapping = frequency_matched(density, np.random.default_rng(0))
    control = fitted[0].on_features(mapping, planted.readings, planted.golds)
    assert fresh.auroc([control.detect(r) for r in fresh.readings]) < fresh.auroc(found) - 0.15
    assert len(control.feature_ids()) == len(fitted[0].feature_ids())
    assert [fitted[0].detect(r) for r in fresh.readings[:20]] == found[:20]


def test_prompts_without_any_firing_make_no_finding():
    sample = Sample(n_groups=12)
    sample.readings = [
        Reading(activations({}, REGIONS), CONTENT, SPANS, r.answer_scores) for r in sample.readings
    ]
    detector, findings = sample.fit(MissingConcept())
    assert detector.feature_ids().tolist() == []
    assert not any(f.misunderstandings for f in findings)


# state


def test_what_was_learnt_survives_json_and_safetensors(fitted, fresh, found):
    state = fitted[0].state_dict()
    arrays = {k: np.ascontiguousarray(v) for k, v in state.items() if isinstance(v, np.ndarray)}
    values = json.loads(json.dumps({k: v for k, v in state.items() if k not in arrays}))
    other = MissingConcept()
    other.load_state_dict({**values, **load(save(arrays))})
    assert [other.detect(reading) for reading in fresh.readings] == found
    assert other.summary() == json.loads(json.dumps(fitted[0].summary()))


# refusals


def test_a_fit_split_of_one_reading_or_of_two_groups_is_refused():
    sample = Sample(n_groups=2)
    fit = MissingConcept().fit
    assert "two at least" in refusal(fit, sample.readings, ["a"] * 12, sample.groups)
    assert "has 2 groups; it needs 3" in refusal(fit, sample.readings, sample.golds, sample.groups)
