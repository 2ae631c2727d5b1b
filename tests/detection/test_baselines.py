"""The baselines, on readings in which we planted what one of them can find."""

import warnings

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from saetask.detection import ProbeConfig, stacked_probe
from saetask.detection import baselines as baselines_module
from saetask.detection.baselines import Baseline, baselines
from tests.helpers.made_up_readings import D_SAE, make_reading
from tests.helpers.refusals import refusal

NAMES = [baseline.name for baseline in baselines()]
FINDS = {
    "dense-probe": "direction",
    "difference-in-means": "direction",
    "best-neuron": "neuron",
    "best-feature": "feature",
    "bag-of-words": "word",
    "words": "word",
}
"""What each baseline is made to find."""
WIDTH = 24
SIGN = {"a": 1.0, "b": -1.0}
WORDS = {"a": "boiling", "b": "icy"}
DIRECTION = np.random.default_rng(5).choice([-1.0, 1.0], WIDTH)


FEW = ProbeConfig((("text",), ("text", "target")), dense_strengths=(0.003, 0.03))


def made(name: str) -> Baseline:
    return next(baseline for baseline in baselines(FEW) if baseline.name == name)


class Sample:
    """Readings in groups of four, two of each reading; the model is right on 60 %.

    What is planted tells the right reading: a direction, a neuron, a feature, a word, or nothing;
    or `group`, by which all of them tell the group, whose items have one reading.
    """

    def __init__(self, planted=None, seed=0, n_groups=24):
        random = np.random.default_rng(seed)
        self.groups, self.golds, self.readings = [], [], []
        for group in range(n_groups):
            for i in range(4):
                gold = "ab"[(group if planted == "group" else i) % 2]
                self.groups.append(f"group {group}")
                self.golds.append(gold)
                self.readings.append(self._reading(planted, group, gold, random))

    def _reading(self, planted, group, gold, random):
        raw = {region: random.normal(size=WIDTH + 50) for region in ("text", "target")}
        word = "lukewarm"
        features = np.flatnonzero(random.random(10) < 0.3).tolist()
        match planted:
            case "direction":
                raw["text"][:WIDTH] += 0.8 * SIGN[gold] * DIRECTION
            case "neuron":
                raw["target"][3] += 4 * SIGN[gold]
            case "feature" if gold == "a":
                features.append(17)
            case "word":
                word = WORDS[gold]
            case "group":
                raw["text"][WIDTH + group] += 30.0
                features.append(10 + group)
                word = f"number{group}"
        answer = gold if random.random() < 0.6 else {"a": "b", "b": "a"}[gold]
        margin = random.normal(0.5, 0.1)
        scores = log_softmax([margin * (answer == name) for name in "ab"])
        content = f"the {word} {random.choice(['soup', 'tea', 'lake'])} today"
        return make_reading(dict(zip("ab", scores.tolist())), content, features, raw)

    def fit(self, name):
        baseline = made(name)
        return baseline, baseline.fit(self.readings, self.golds, self.groups)

    def auroc(self, findings):
        """Returns how well the reading 'a' is told."""
        return roc_auc_score(
            [gold == "a" for gold in self.golds], [f.probabilities["a"] for f in findings]
        )


@pytest.fixture(scope="module")
def samples():
    return {kind: Sample(kind) for kind in (*set(FINDS.values()), None, "group")}


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_a_planted_signal_of_its_kind_in_held_out_and_in_new_items(samples, name):
    baseline, held_out = samples[FINDS[name]].fit(name)
    fresh = Sample(FINDS[name], seed=1)
    found = [baseline.detect(reading) for reading in fresh.readings]
    assert samples[FINDS[name]].auroc(held_out) > 0.9
    assert fresh.auroc(found) > 0.9
    stated = [m.reading == gold for f, gold in zip(found, fresh.golds) for m in f.misunderstandings]
    assert len(stated) > 20 and np.mean(stated) > 0.85
    assert {m.detector for f in found for m in f.misunderstandings} == {name}


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_next_to_nothing_where_nothing_is_planted(samples, name):
    baseline, held_out = samples[None].fit(name)
    fresh = Sample(None, seed=1)
    found = [*held_out, *(baseline.detect(reading) for reading in fresh.readings)]
    assert np.mean([bool(finding.misunderstandings) for finding in found]) < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_findings_in_fit_items_come_from_a_probe_that_did_not_see_their_group(samples, name):
    # Everything tells the group, and the group its reading: useless for a group never seen.
    _, held_out = samples["group"].fit(name)
    assert 0.3 < samples["group"].auroc(held_out) < 0.7


@pytest.mark.parametrize("name", ["dense-probe", "bag-of-words"])
def test_the_same_probe_would_know_the_groups_that_it_had_seen(samples, name, monkeypatch):
    # So the test above can fail: with groups on both sides, the readings are told.
    everything = np.arange(len(samples["group"].golds))
    seen = [stacked_probe.InnerFold(everything, everything)]
    monkeypatch.setattr(stacked_probe, "inner_folds", lambda *arguments: seen)
    _, leaked = samples["group"].fit(name)
    assert samples["group"].auroc(leaked) > 0.9


def test_three_readings_are_told_apart():
    sample = Sample("direction")
    golds = ["c" if i % 4 > 1 else gold for i, gold in enumerate(sample.golds)]
    for name in NAMES:
        findings = made(name).fit(sample.readings, golds, sample.groups)
        assert all(set(finding.probabilities) == set("abc") for finding in findings)


@pytest.mark.parametrize("name", NAMES)
def test_a_reading_with_one_item_is_fitted_without_a_warning(samples, name):
    sample = samples[FINDS[name]]
    golds = ["c", *sample.golds[1:]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        findings = made(name).fit(sample.readings, golds, sample.groups)
    assert set(findings[0].probabilities) == {"a", "b", "c"}


def test_a_difference_in_means_is_discriminant_analysis_shrunk_all_the_way():
    random = np.random.default_rng(0)
    design, labels = random.normal(size=(60, 12)), random.integers(0, 3, 60)
    design[:, 0] += 3 * labels
    (setting,) = made("difference-in-means")._settings(make_reading({}, raw={"text": design[0]}))
    slow = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=1.0).fit(design, labels)
    fast = setting.make().fit(design, labels)
    np.testing.assert_allclose(fast.decision_function(design), slow.decision_function(design))


@pytest.mark.parametrize("name", NAMES)
def test_inputs_that_never_vary_are_silent_and_find_nothing(name):
    sample = Sample()
    raw = {region: np.ones(WIDTH) for region in ("text", "target")}
    sample.readings = [
        make_reading(reading.answer_scores, features=[3], raw=raw) for reading in sample.readings
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, findings = sample.fit(name)
    assert not any(finding.misunderstandings for finding in findings)


def test_texts_of_single_letters_and_signs_have_words(samples):
    sample = Sample()
    sample.readings = [
        make_reading(reading.answer_scores, "7 + 2" if gold == "a" else "7 - 2", target=False)
        for reading, gold in zip(sample.readings, sample.golds)
    ]
    _, findings = sample.fit("bag-of-words")
    assert sample.auroc(findings) > 0.9


def test_a_prompt_without_a_target_is_probed_on_its_text():
    sample = Sample("direction", n_groups=12)
    sample.readings = [
        make_reading(r.answer_scores, r.content, [1], {"text": r.raw["text"]}, target=False)
        for r in sample.readings
    ]
    for name in NAMES:
        _, findings = sample.fit(name)
        spans = {m.span for f in findings for m in f.misunderstandings}
        assert spans <= {reading.spans["text"] for reading in sample.readings}


def test_a_fit_split_of_one_reading_or_of_two_groups_is_refused():
    one, two = Sample(n_groups=4), Sample(n_groups=2)
    assert "two at least" in refusal(made("dense-probe").fit, one.readings, ["a"] * 16, one.groups)
    assert "3 at least" in refusal(made("dense-probe").fit, two.readings, two.golds, two.groups)


def test_the_features_of_regions_stand_side_by_side():
    raw = {region: np.zeros(1) for region in ("text", "target")}
    reading = make_reading({"a": 0.0}, features=[3, 17], raw=raw)
    row = baselines_module._features("text", "target")([reading]).toarray()[0]
    assert np.flatnonzero(row).tolist() == [3, 17, D_SAE + 3, D_SAE + 17]
    assert row[3] == pytest.approx(np.log1p(2.0))
