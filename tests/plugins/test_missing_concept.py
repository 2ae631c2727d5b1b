"""Concepts that fire or are missing in a prompt's text, on planted signatures."""

import numpy as np
import pytest

from saetask import DetectorInput
from saetask_plugins.detectors.missing_concept import (
    NAMED_FEATURES,
    SILENT_FEATURES,
    MissingConcept,
)
from tests.helpers.planted_readings import (
    CONTENT,
    PLANTED,
    REGIONS,
    SPANS,
    Fitted,
    PlantedSample,
    activations,
    share_found_in_noise,
)


@pytest.fixture(scope="module")
def fitted():
    return Fitted(MissingConcept())


def asked(firings, answer):
    """A prompt whose text has these firings, and the model's answer."""
    scores = {name: -0.1 if name == answer else -2.0 for name in "ab"}
    return DetectorInput(activations({1: firings}, REGIONS), CONTENT, SPANS, scores)


# what there is to find is found


def test_planted_concepts_predict_failures_of_held_out_prompts(fitted):
    assert fitted.sample.auroc(fitted.held_out) > 0.8
    assert fitted.fresh.auroc(fitted.found) > 0.8


def test_findings_state_the_stronger_concept(fitted):
    stated = fitted.fresh.stated(fitted.found)
    assert 0.25 < len(stated) / len(fitted.found) < 0.55  # the model is wrong in 40 %
    assert np.mean([m.reading == gold for m, gold in stated]) > 0.7
    assert {m.detector for m, _ in stated} == {"missing-concept"}


def test_the_evidence_names_what_fires_and_then_what_is_silent(fitted):
    found = fitted.detector.explain(asked({23: 5.0, 42: 3.0}, "a"), "b")
    firing = [e for e in found.features if e.activation]
    silent = [e for e in found.features if not e.activation]
    assert [e.id for e in firing] == [23, 42]
    assert [e.activation for e in firing] == pytest.approx([5.0, 3.0])
    assert all(e.weight > 0 for e in firing)
    assert {e.id for e in silent} == set(PLANTED["a"])
    assert all(e.weight < 0 for e in silent)
    assert found.features == [*firing, *silent]


def test_features_of_the_answers_concept_that_fire_are_not_called_silent(fitted):
    found = fitted.detector.explain(asked({23: 5.0, 7: 3.0}, "a"), "b")
    assert 7 not in {e.id for e in found.features}
    assert 11 in {e.id for e in found.features}


def test_a_prompt_that_shows_the_answers_concept_misses_none(fitted):
    assert not fitted.detector.detect(asked({7: 6.0, 11: 6.0}, "a")).misunderstandings
    assert not any(e.activation == 0 for e in fitted.detector.explain(asked({}, "a"), "a").features)


def test_the_evidence_is_short(fitted):
    for finding in fitted.found:
        for misunderstanding in finding.misunderstandings:
            firing = [e for e in misunderstanding.features if e.activation]
            assert len(firing) <= NAMED_FEATURES
            assert len(misunderstanding.features) - len(firing) <= SILENT_FEATURES


def test_concepts_are_scored_in_standard_deviations_of_the_fit_split(fitted):
    scores = fitted.detector._scores(fitted.sample.readings)
    assert scores.mean(0) == pytest.approx(0.0, abs=1e-6)
    assert scores.std(0) == pytest.approx(1.0, abs=1e-6)


def test_the_evidence_adds_up_to_the_difference_of_the_scores(fitted):
    detector = fitted.detector
    one, two = asked({7: 6.0}, "b"), asked({}, "b")
    scores = detector._scores([one, two])
    evidence = detector.explain(one, "a").features[0]
    gained = (scores[0] - scores[1]) @ [1, -1] * detector.stack[0]
    assert evidence.id == 7
    assert evidence.weight * np.log1p(evidence.activation) == pytest.approx(gained, rel=1e-5)


# and what is not there is not


@pytest.mark.parametrize("seed", [2, 3])
def test_features_that_carry_nothing_lead_to_nearly_no_findings(seed):
    assert share_found_in_noise(MissingConcept(), seed) < 0.02


def test_signatures_on_other_features_lose_the_signal(fitted):
    control, fresh = fitted.on_other_features(), fitted.fresh
    assert fresh.auroc(fitted.finds(control)) < fresh.auroc(fitted.found) - 0.15
    assert len(control.feature_ids()) == len(fitted.detector.feature_ids())
    assert [fitted.detector.detect(r) for r in fresh.readings[:20]] == fitted.found[:20]


def test_prompts_without_any_firing_make_no_finding():
    detector, findings = PlantedSample(n_groups=12).silenced().fit(MissingConcept())
    assert detector.feature_ids().tolist() == []
    assert not any(f.misunderstandings for f in findings)
