"""The line-up: which items each detector annotates, and what it was fitted on."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saetask.experiments.control_detectors
from saetask import Evidence, make_finding, make_misunderstanding
from saetask.detection.base import Finding
from saetask.experiments.control_detectors import (
    RANDOM_FEATURE,
    RANDOM_SAE,
    line_up,
    match_annotation_rate,
)
from saetask.experiments.pipeline import fit
from tests.helpers.made_up_readings import make_reading
from tests.helpers.touch_task import make_lab

NAMES = "abc"


class Told:
    """A finder that is told the probabilities, in place of raw activations."""

    name = "told"

    def detect(self, reading):
        return make_finding(reading, reading.raw, self.explain)

    def explain(self, reading, name):
        return make_misunderstanding(self.name, reading, name)


def told_reading(answer, probabilities):
    scores = {name: -1.0 - (name != answer) for name in NAMES}
    return make_reading(scores, raw=dict(zip(NAMES, probabilities, strict=True)))


shares = st.tuples(*[st.integers(1, 20)] * 3).map(lambda row: [n / sum(row) for n in row])
readings_of_items = st.lists(st.builds(told_reading, st.sampled_from(NAMES), shares), min_size=1)


@given(readings_of_items, st.integers(0, 12))
def test_at_rate_annotates_as_many_as_asked_the_most_probably_wrong_but_never_the_answer(rows, n):
    readings = dict(enumerate(rows))
    findings = match_annotation_rate(Told(), readings, n)
    annotated = {i for i, finding in findings.items() if finding.misunderstandings}
    assert len(annotated) == min(n, len(rows))
    left = [finding.failure for i, finding in findings.items() if i not in annotated]
    for i in annotated:
        finding = findings[i]
        assert all(finding.failure >= failure for failure in left)
        (found,) = finding.misunderstandings
        others = {name: p for name, p in finding.probabilities.items() if name != rows[i].answer}
        assert found.reading != rows[i].answer
        assert others[found.reading] == max(others.values())
        assert found.probability == finding.failure
    for i, finding in findings.items():
        plain = Told().detect(readings[i])
        assert (finding.failure, finding.probabilities) == (plain.failure, plain.probabilities)


class Recorder:
    """A detector that finds failure 0.25 in what it was fitted on and 0.75 elsewhere."""

    name = "recorder"
    made = ()

    def __init__(self):
        self.fitted_on, self.replacement = [], None
        Recorder.made += (self,)

    def fit(self, readings, outcomes, groups):
        self.fitted_on = list(zip(readings, outcomes, groups, strict=True))
        return [self._finding(reading, 0.25) for reading in readings]

    def detect(self, reading):
        return self._finding(reading, 0.75)

    def _finding(self, reading, failure):
        other = next(name for name in ("warm", "cold") if name != reading.answer)
        found = [self.explain(reading, other)] if failure > 0.5 else []
        return Finding(failure, found, {reading.answer: 1 - failure, other: failure})

    def explain(self, reading, name):
        return make_misunderstanding(self.name, reading, name, [Evidence(1, "", 1.0, 1.0)])

    def on_features(self, replacement, readings, outcomes):
        other = Recorder()
        other.replacement = replacement
        return other

    def feature_ids(self):
        return np.array([1])

    def summary(self):
        return {}


@pytest.fixture(scope="module")
def lab(tiny_model, tiny_sae):
    return make_lab(tiny_model, tiny_sae, Recorder)


@pytest.fixture
def lined_up(lab, monkeypatch):
    """A line-up of both parts of the first fold, one recorder standing for all baselines."""
    Recorder.made = ()
    monkeypatch.setattr(saetask.experiments.control_detectors, "baselines", lambda: [Recorder()])
    samples, fold = lab.study.samples, lab.study.folds[0]
    fitted = fit(lab.context, samples, fold.fit, lab.material, lab.trials)
    generator = np.random.default_rng(0)
    parts = fold.fit[:9], fold.test
    return line_up(lab.context, samples, fitted, parts, lab.material, generator)


def fitted_recorders():
    return [made for made in Recorder.made if made.fitted_on]


def test_every_detector_judges_what_is_wanted_and_fit_items_with_their_group_held_out(
    lined_up, lab
):
    fold = lab.study.folds[0]
    assert set(lined_up.findings) == {"saetask", RANDOM_FEATURE, RANDOM_SAE, "recorder"}
    for name, findings in lined_up.findings.items():
        assert list(findings) == [*fold.fit[:9], *fold.test]
        if name != RANDOM_FEATURE:  # weights that were moved are not fitted, but for calibration
            told = {i: 0.25 if i in fold.fit else 0.75 for i in findings}
            assert {i: finding.failure for i, finding in findings.items()} == told


def test_every_detector_is_fitted_on_the_folds_fit_items_with_their_groups(lined_up, lab):
    samples, fold = lab.study.samples, lab.study.folds[0]
    assert len(fitted_recorders()) == 3  # saetask's, the random SAE's, the baseline
    for recorder in fitted_recorders():
        rows = [(r.content, gold, group) for r, gold, group in recorder.fitted_on]
        assert rows == [
            (samples[i].prompt.content, samples[i].gold_reading, samples[i].item.group)
            for i in fold.fit
        ]


class Picky(Recorder):
    """Finds something in every other fit item, and in every test item but one."""

    def fit(self, readings, outcomes, groups):
        super().fit(readings, outcomes, groups)
        return [self._finding(reading, 0.75 * (i % 2)) for i, reading in enumerate(readings)]

    def detect(self, reading):
        return self._finding(reading, 0.0 if reading.content == self.spared else 0.75)


def test_random_features_annotate_as_many_items_of_each_part_as_saetask(lab, monkeypatch):
    monkeypatch.setattr(saetask.experiments.control_detectors, "baselines", list)
    samples, fold = lab.study.samples, lab.study.folds[0]
    Picky.spared = samples[fold.test[3]].prompt.content
    context = replace(lab.context, make_detector=Picky)
    fitted = fit(context, samples, fold.fit, lab.material, lab.trials)
    parts = fold.fit[:9], fold.test
    generator = np.random.default_rng(0)
    found = line_up(context, samples, fitted, parts, lab.material, generator).findings

    def counts(name):
        return [sum(bool(found[name][i].misunderstandings) for i in part) for part in parts]

    assert counts(RANDOM_FEATURE) == counts("saetask") == [4, len(fold.test) - 1]


def test_weights_are_moved_to_other_features_that_fire_in_fit_items(lined_up, lab):
    (moved,) = [made.replacement for made in Recorder.made if made.replacement is not None]
    live = set(np.flatnonzero(lab.material.features.density(lab.study.folds[0].fit)).tolist())
    assert set(moved) == set(moved.values()) == live
    assert all(feature != other for feature, other in moved.items())


def test_the_random_sae_is_read_instead_of_the_trained_one_and_nothing_else_differs(lined_up, lab):
    own, through = [recorder.fitted_on for recorder in fitted_recorders()][:2]
    for (first, *_), (second, *_), i in zip(own, through, lab.study.folds[0].fit, strict=True):
        assert (second.activations.values == lab.material.random[i].values).all()
        assert (second.pooled("text") != first.pooled("text")).nnz
        assert second.raw is first.raw
        for name in ("content", "spans", "answer_scores"):
            assert getattr(second, name) == getattr(first, name)


class Blind(Recorder):
    """A detector that looks at no feature."""

    def feature_ids(self):
        return np.empty(0, int)


class BlindAtFirst(Recorder):
    """A detector that looks at no feature unless it is the second that is made."""

    def feature_ids(self):
        return np.arange(self is not Recorder.made[0])


@pytest.mark.parametrize(
    ("detector", "idle"),
    [
        (Recorder, []),
        (Blind, [RANDOM_FEATURE, RANDOM_SAE]),
        (BlindAtFirst, [RANDOM_FEATURE]),
    ],
)
def test_controls_of_a_detector_that_looks_at_no_feature_are_idle(lab, monkeypatch, detector, idle):
    Recorder.made = ()
    monkeypatch.setattr(saetask.experiments.control_detectors, "baselines", list)
    context = replace(lab.context, make_detector=detector)
    samples, fold = lab.study.samples, lab.study.folds[0]
    fitted = fit(context, samples, fold.fit, lab.material, lab.trials)
    generator = np.random.default_rng(0)
    parts = fold.fit[:3], fold.test
    assert line_up(context, samples, fitted, parts, lab.material, generator).idle == idle


def test_without_a_random_dictionary_there_is_no_such_detector(lab, monkeypatch):
    monkeypatch.setattr(saetask.experiments.control_detectors, "baselines", list)
    samples, fold = lab.study.samples, lab.study.folds[0]
    fitted = fit(lab.context, samples, fold.fit, lab.material, lab.trials)
    material = lab.material._replace(random=None)
    generator = np.random.default_rng(0)
    found = line_up(lab.context, samples, fitted, [fold.test], material, generator).findings
    assert set(found) == {"saetask", RANDOM_FEATURE}
