"""The detector, on activations in which we planted what there is to find."""

import json
from dataclasses import fields

import numpy as np
import pytest
from safetensors.numpy import load_file

from saetask.detection import NO_SIGNAL, DetectorInput, ProbeConfig, reason_for_silence
from saetask.detection.probe_features import COMPARED
from saetask.saes.loading import assets_folder
from saetask_plugins.detectors.failure_probe import NAMED_FEATURES, FailureProbe
from saetask_plugins.detectors.failure_probe import REGIONS as REGIONS_OF_PROBES
from saetask_plugins.detectors.stability import STABLE
from tests.helpers.planted_readings import (
    CONTENT,
    D_SAE,
    PLANTED,
    REGIONS,
    SPANS,
    Fitted,
    PlantedSample,
    share_found_in_noise,
)
from tests.helpers.two_spans import Pairs


@pytest.fixture(scope="module")
def fitted():
    return Fitted(FailureProbe())


@pytest.fixture(scope="module")
def control(fitted):
    return fitted.on_other_features()


# what there is to find is found


def test_planted_features_predict_failures_of_held_out_prompts(fitted):
    assert fitted.sample.auroc(fitted.held_out) > 0.9
    assert fitted.fresh.auroc(fitted.found) > 0.9


def test_findings_state_the_right_reading_at_the_target(fitted):
    stated = fitted.fresh.stated(fitted.found)
    assert 0.3 < len(stated) / len(fitted.found) < 0.5  # the model is wrong in 40 %
    assert np.mean([m.reading == gold for m, gold in stated]) > 0.9
    assert {(m.span, m.text, m.detector) for m, _ in stated} == {
        (SPANS["target"], "cc", "failure-probe")
    }


def test_a_word_in_two_places_is_read_by_what_the_places_share():
    sample, detector = Pairs(), FailureProbe()
    detector.fit(sample.readings, sample.golds, sample.groups)
    fresh = Pairs(seed=1)
    assert detector.regions == COMPARED
    assert fresh.auroc([detector.detect(reading) for reading in fresh.readings]) > 0.8
    for reading in fresh.readings[:30]:
        one, two = (reading.pooled(name).toarray()[0] for name in ("target", "other"))
        for evidence in detector.explain(reading, "same").features:
            assert one[evidence.id] or two[evidence.id]


def test_failure_probabilities_are_calibrated(fitted):
    stated = np.array([finding.failure for finding in fitted.found])
    assert ((stated >= 0) & (stated <= 1)).all()
    failed = np.array(fitted.fresh.failed)
    for low, high in ((0.0, 0.3), (0.7, 1.01)):
        chosen = (low <= stated) & (stated < high)
        assert chosen.sum() > 30
        assert stated[chosen].mean() == pytest.approx(failed[chosen].mean(), abs=0.12)


def test_a_finding_is_made_exactly_where_another_reading_is_more_probable(fitted):
    for finding, reading in zip(fitted.found, fitted.fresh.readings, strict=True):
        assert bool(finding.misunderstandings) == (finding.failure > 0.5)
        for misunderstanding in finding.misunderstandings:
            assert misunderstanding.probability == finding.failure
            assert misunderstanding.reading != reading.answer


def test_the_evidence_names_the_planted_features_first(fitted):
    firsts = []
    for finding, reading in zip(fitted.found, fitted.fresh.readings, strict=True):
        for misunderstanding in finding.misunderstandings:
            evidence = misunderstanding.features
            assert 0 < len(evidence) <= NAMED_FEATURES
            assert len({e.id for e in evidence}) == len(evidence)
            adds = [e.weight * np.log1p(e.activation) for e in evidence]
            assert all(e.weight > 0 for e in evidence)
            assert adds == sorted(adds, reverse=True)
            pooled = reading.pooled("text").toarray()[0]
            regions = [pooled, reading.pooled("target").toarray()[0]]
            assert all(
                any(e.activation == pytest.approx(region[e.id], rel=1e-4) for region in regions)
                for e in evidence
            )
            planted = PLANTED[misunderstanding.reading]
            if any(pooled[feature] for feature in planted):
                firsts.append(evidence[0].id in planted)
    assert len(firsts) > 50
    assert np.mean(firsts) > 0.95


def test_the_probe_says_which_features_it_uses(fitted):
    probe = fitted.detector
    used = probe.feature_ids()
    assert set(used) >= {7, 11, 23, 42}
    assert used.tolist() == sorted(set(used.tolist()))
    assert used.max() < D_SAE
    summary = probe.summary()
    assert summary["n_features"] == len(used)
    assert summary["weight_of_features"] > 0.1
    assert summary == json.loads(json.dumps(summary))


def test_prompts_without_a_target_are_probed_on_their_text():
    regions = {name: span for name, span in REGIONS.items() if name != "target"}
    sample = PlantedSample(n_groups=20, regions=regions)
    probe, findings = sample.fit(FailureProbe())
    assert "target" not in probe.regions
    assert sample.auroc(findings) > 0.8
    assert {m.span for f in findings for m in f.misunderstandings} == {SPANS["text"]}


# which features are named


@pytest.fixture(scope="module")
def fresh():
    return PlantedSample(seed=1)


def without_stability(probe):
    """The same probe, of whose columns none is stable."""
    other = FailureProbe()
    other.load_state_dict(
        {**probe.state_dict(), "stability": np.zeros_like(probe.state_dict()["stability"])}
    )
    return other


@pytest.fixture(scope="module")
def on_halves():
    """Dense probes fitted on the even and on the odd groups."""
    planted, probes = PlantedSample(), []
    for parity in (0, 1):
        rows = [i for i in range(len(planted.golds)) if i // 6 % 2 == parity]
        parts = (planted.readings, planted.golds, planted.groups)
        probe = FailureProbe(ProbeConfig(penalties=(("l2", 0.03),)))
        probe.fit(*([part[i] for i in rows] for part in parts))
        probes.append(probe)
    return probes


def test_stable_features_agree_between_halves_better_than_the_heaviest(on_halves, fresh):
    def overlap(probes):
        shares = []
        for reading, gold in zip(fresh.readings, fresh.golds, strict=True):
            first, second = ({e.id for e in p.explain(reading, gold).features} for p in probes)
            shares.append(len(first & second) / len(first | second))
        return np.mean(shares)

    assert overlap(on_halves) > overlap([without_stability(p) for p in on_halves]) + 0.1


def test_only_stable_features_are_named_where_there_are_any(on_halves, fresh):
    probe = on_halves[0]
    n_named = 0
    for reading, name in zip(fresh.readings, fresh.golds, strict=True):
        evidence = probe.explain(reading, name).features
        stable = probe.columns[probe.stability[probe.readings.index(name)] >= STABLE] % D_SAE
        named = [e.id in stable for e in evidence]
        assert all(named) or not any(named)
        n_named += all(named)
    assert n_named > len(fresh.golds) / 2
    assert 4 <= probe.summary()["n_stable_features"] < probe.summary()["n_features"]


def named_by_a_sort_of_all_columns(probe, reading, name):
    """The evidence's features, every column looked at."""
    chosen, d_sae = probe.readings.index(name), probe.d_sae
    row = np.zeros(probe.columns.shape)
    for place, column in enumerate(probe.columns):
        region = REGIONS_OF_PROBES[column // d_sae]
        if region in probe.regions:
            row[place] = np.log1p(reading.pooled(region).toarray()[0, column % d_sae])
    others = [w for number, w in enumerate(probe.weights) if number != chosen]
    weights = (probe.weights[chosen] - np.mean(others, axis=0)) * probe.stack[0]
    order = [i for i in np.argsort(-row * weights, kind="stable") if row[i] * weights[i] > 0]
    stable = [
        i
        for i in order
        if probe.stability[chosen, i] >= STABLE and probe.weights[chosen, i] * weights[i] > 0
    ]
    features = [int(probe.columns[i] % d_sae) for i in stable or order]
    return list(dict.fromkeys(features))[:NAMED_FEATURES]


def test_evidence_is_that_of_a_sort_of_all_columns(on_halves, fresh):
    for probe in (on_halves[0], without_stability(on_halves[0])):
        for reading, name in zip(fresh.readings[:40], fresh.golds):
            expected = named_by_a_sort_of_all_columns(probe, reading, name)
            assert [e.id for e in probe.explain(reading, name).features] == expected


def test_stability_changes_no_probability(on_halves, fresh):
    probe = on_halves[0]
    old = without_stability(probe)
    for reading in fresh.readings:
        assert old.detect(reading).probabilities == probe.detect(reading).probabilities


def test_without_a_stable_feature_the_heaviest_are_named(on_halves, fresh):
    probe = without_stability(on_halves[0])
    assert probe.summary()["n_stable_features"] == 0
    assert any(probe.explain(r, "a").features for r in fresh.readings)


def test_the_shipped_fits_load():
    folders = sorted((assets_folder() / "fits").iterdir())
    assert folders
    for folder in folders:
        values = json.loads((folder / "fit.json").read_text())["detector"]
        probe = FailureProbe()
        probe.load_state_dict({**values, **load_file(folder / "detector.safetensors")})
        assert probe.stability.shape == probe.weights.shape
        assert probe.summary()["n_features"] > 0


# and what is not there is not


@pytest.mark.parametrize(("seed", "n_groups"), [(2, 20), (3, 20), (2, 40), (3, 40)])
def test_features_that_carry_nothing_lead_to_nearly_no_findings(seed, n_groups):
    probe = FailureProbe()
    assert share_found_in_noise(probe, seed, n_groups) < 0.02
    log_odds = probe._log_odds(PlantedSample(seed=seed + 10, plant=False).readings)
    assert np.std(probe.summary()["weight_of_features"] * log_odds) < 0.2


def test_weights_on_other_features_lose_the_signal(fitted, control):
    fresh, moved = fitted.fresh, fitted.finds(control)
    assert fresh.auroc(moved) < fresh.auroc(fitted.found) - 0.2
    assert len(fresh.stated(moved)) < len(fresh.stated(fitted.found)) / 2


def test_the_control_uses_as_many_other_features_and_leaves_the_probe_alone(fitted, control):
    probe = fitted.detector
    assert len(control.feature_ids()) == len(probe.feature_ids())
    assert (control.columns != probe.columns).all()
    assert (control.weights == probe.weights).all()
    again = [probe.detect(reading) for reading in fitted.fresh.readings[:20]]
    assert again == fitted.found[:20]


def test_the_same_features_in_the_control_are_the_same_detector(fitted):
    same = fitted.detector.on_features({}, fitted.sample.readings, fitted.sample.golds)
    assert same.columns.tolist() == fitted.detector.columns.tolist()
    assert fitted.fresh.auroc(fitted.finds(same)) > 0.9


def test_a_reading_holds_no_gold_answer():
    assert {field.name for field in fields(DetectorInput)} == {
        "activations",
        "content",
        "spans",
        "answer_scores",
        "raw",
        "auxiliary",
        "concepts",
        "named_features",
        "written_reading",
        "computed",
    }
    assert not [name for name in dir(DetectorInput) if "gold" in name or "item" in name]


def test_the_model_alone_without_any_firing_makes_no_finding():
    sample = PlantedSample(n_groups=12).silenced()
    probe, findings = sample.fit(FailureProbe())
    assert probe.feature_ids().tolist() == []
    assert not any(f.misunderstandings for f in findings)
    finding = probe.detect(sample.readings[0])
    assert not finding.misunderstandings
    assert reason_for_silence(probe, finding) == NO_SIGNAL


def test_silence_where_the_features_predict_something_means_that_the_answer_agrees(fitted):
    stated, silent = (
        next(f for f in fitted.found if bool(f.misunderstandings) == wanted)
        for wanted in (True, False)
    )
    assert reason_for_silence(fitted.detector, stated) == ""
    assert "answer" in reason_for_silence(fitted.detector, silent)


def test_a_prompt_whose_answer_says_nothing_still_gets_a_probability(fitted):
    silent = dict.fromkeys("ab", -np.inf)
    activations = fitted.fresh.readings[0].activations
    finding = fitted.detector.detect(DetectorInput(activations, CONTENT, SPANS, silent))
    assert 0 <= finding.failure <= 1


# state


def test_fitting_twice_learns_the_same(fitted):
    again, findings = PlantedSample().fit(FailureProbe())
    assert findings == fitted.held_out
    assert again.columns.tolist() == fitted.detector.columns.tolist()
    assert (again.weights == fitted.detector.weights).all()


def test_three_readings_are_told_apart():
    sample = PlantedSample(n_groups=20)
    golds, probe = sample.with_a_third_reading(), FailureProbe()
    findings = probe.fit(sample.readings, golds, sample.groups)
    assert probe.readings == ["a", "b", "c"]
    assert len(findings) == len(golds)
    assert all(0 <= f.failure <= 1 for f in findings)
