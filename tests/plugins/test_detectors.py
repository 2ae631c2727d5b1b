"""What holds for every built-in detector, whatever it looks at."""

import json
from dataclasses import replace

import numpy as np
import pytest

from saetask.detection.baselines import dense_probe
from saetask.plugins import PluginRegistry
from saetask_plugins.detectors.failure_probe import FailureProbe
from tests.helpers.planted_concepts import conceptual_sample
from tests.helpers.planted_readings import D_SAE
from tests.helpers.refusals import refusal
from tests.helpers.saved_state import saved_and_loaded

DETECTORS = {p.name: p.value for p in PluginRegistry().all() if p.kind == "detector"}
every_detector = pytest.mark.parametrize("name", sorted(DETECTORS))


@pytest.fixture(scope="module", params=sorted(DETECTORS))
def fitted(request):
    return conceptual_sample(n_groups=20).fit(DETECTORS[request.param]())


@pytest.fixture(scope="module")
def fresh():
    return conceptual_sample(seed=1, n_groups=8)


def test_a_finding_is_made_exactly_where_another_reading_is_more_probable(fitted, fresh):
    detector, held_out = fitted
    found = [detector.detect(reading) for reading in fresh.readings]
    readings = [*conceptual_sample(n_groups=20).readings, *fresh.readings]
    for finding, reading in zip([*held_out, *found], readings, strict=True):
        assert sum(finding.probabilities.values()) == pytest.approx(1.0)
        assert finding.failure == pytest.approx(1 - finding.probabilities[reading.answer])
        assert bool(finding.misunderstandings) == (finding.leading != reading.answer)
        for misunderstanding in finding.misunderstandings:
            assert misunderstanding.reading == finding.leading
            assert misunderstanding.probability == finding.failure
            assert misunderstanding.detector == detector.name


def test_the_evidence_names_features_that_the_detector_says_it_uses(fitted, fresh):
    detector, _ = fitted
    used = detector.feature_ids()
    assert used.tolist() == sorted(set(used.tolist()))
    for reading in fresh.readings:
        for name in "ab":
            evidence = detector.explain(reading, name).features
            assert {e.id for e in evidence} <= set(used.tolist())
            assert len({e.id for e in evidence}) == len(evidence)


def test_features_exchanged_for_themselves_leave_what_is_found_much_the_same(fitted, fresh):
    detector, _ = fitted
    sample = conceptual_sample(n_groups=20)
    same = detector.on_features({i: i for i in range(D_SAE)}, sample.readings, sample.golds)
    assert same.feature_ids().tolist() == detector.feature_ids().tolist()
    failures = [[d.detect(r).failure for r in fresh.readings] for d in (detector, same)]
    assert np.corrcoef(failures)[0, 1] > 0.9


def test_what_is_kept_is_arrays_and_json_and_what_is_reported_is_json(fitted):
    detector, _ = fitted
    values = {k: v for k, v in detector.state_dict().items() if not isinstance(v, np.ndarray)}
    assert json.loads(json.dumps(values)).keys() == values.keys()
    assert json.loads(json.dumps(detector.summary())) == detector.summary()


def test_what_was_learnt_survives_json_and_safetensors(fitted):
    detector, _ = fitted
    other, readings = saved_and_loaded(detector), conceptual_sample(seed=1).readings
    assert [other.detect(r) for r in readings] == [detector.detect(r) for r in readings]
    assert json.dumps(other.summary()) == json.dumps(detector.summary())


@every_detector
def test_what_is_known_of_a_group_alone_does_not_help_on_prompts_held_out(name):
    # A group's own feature tells its reading: perfect within the group, useless for others.
    sample = conceptual_sample(plant=False, group_features=True)
    _, held_out = sample.fit(DETECTORS[name]())
    assert 0.35 < sample.auroc(held_out) < 0.65


@every_detector
def test_a_fit_split_of_one_reading_or_of_none_is_refused(name):
    sample = conceptual_sample(n_groups=6)
    one = ["a"] * len(sample.golds)
    assert "two at least" in refusal(DETECTORS[name]().fit, sample.readings, one, sample.groups)
    assert "two at least" in refusal(DETECTORS[name]().fit, [], [], [])


@every_detector
@pytest.mark.parametrize("n_groups", [1, 2])
def test_too_few_groups_for_the_inner_folds_are_refused(name, n_groups):
    message = refusal(conceptual_sample(n_groups=n_groups).fit, DETECTORS[name]())
    assert f"has {n_groups} groups; it needs 3" in message


def joined(own, auxiliary):
    """Returns what a detector is fitted on: a sample's prompts, then those of a borrowed one."""
    silent = dict.fromkeys("ab", -np.inf)
    lent = [replace(r, auxiliary=True, answer_scores=silent) for r in auxiliary.readings]
    return [*own.readings, *lent], own.golds + auxiliary.golds, own.groups + auxiliary.groups


@pytest.mark.parametrize("make", [FailureProbe, dense_probe], ids=["failure-probe", "dense-probe"])
def test_borrowed_prompts_calibrate_nothing(make):
    own, auxiliary = conceptual_sample(plant=False), conceptual_sample(seed=2)
    for sample in (own, auxiliary):
        for reading, gold in zip(sample.readings, sample.golds, strict=True):
            speaks = 3.0 * (gold == "a") if sample is auxiliary else 0.0
            reading.raw["text"] = np.array([speaks, 1.0])
            reading.raw["target"] = np.zeros(2)
    learnt = make()
    learnt.fit(*joined(own, auxiliary))
    assert not [r for r in own.readings if learnt.detect(r).misunderstandings]
    alone = make()
    alone.fit(auxiliary.readings, auxiliary.golds, auxiliary.groups)
    assert [r for r in auxiliary.readings if alone.detect(r).misunderstandings]


def test_a_probe_learns_from_borrowed_prompts():
    own, fresh = conceptual_sample(n_groups=6), conceptual_sample(seed=1)

    def area(*material):
        probe = FailureProbe()
        probe.fit(*material)
        return fresh.auroc([probe.detect(reading) for reading in fresh.readings])

    alone = area(own.readings, own.golds, own.groups)
    assert area(*joined(own, conceptual_sample(seed=2))) > alone + 0.01
