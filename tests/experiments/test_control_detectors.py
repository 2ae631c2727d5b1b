"""The detectors of a fold: which samples each annotates, and what it was fitted on."""

import gc
from dataclasses import replace
from types import BuiltinFunctionType, FunctionType, ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data import Item
from saetask.data.samples import Sample
from saetask.detection import Evidence, make_finding, make_misunderstanding
from saetask.detection.base import Finding
from saetask.experiments.control_detectors import (
    RANDOM_FEATURE,
    RANDOM_SAE,
    fit_detectors,
    match_annotation_rate,
)
from tests.helpers.made_up_readings import make_reading
from tests.helpers.touch_task import NO_BASELINE, make_lab

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

    def fit(self, readings, gold_readings, groups):
        self.fitted_on = list(zip(readings, gold_readings, groups, strict=True))
        return [self._finding(reading, 0.25) for reading in readings]

    def detect(self, reading):
        return self._finding(reading, 0.75)

    def _finding(self, reading, failure):
        other = next(name for name in ("warm", "cold") if name != reading.answer)
        found = [self.explain(reading, other)] if failure > 0.5 else []
        return Finding(failure, found, {reading.answer: 1 - failure, other: failure})

    def explain(self, reading, name):
        return make_misunderstanding(self.name, reading, name, [Evidence(1, "", 1.0, 1.0)])

    def on_features(self, replacement, readings, gold_readings):
        other = Recorder()
        other.replacement = replacement
        return other

    def feature_ids(self):
        return np.array([1])

    def summary(self):
        return {}


@pytest.fixture(scope="module")
def lab(tiny_model, tiny_sae):
    return make_lab(tiny_model, tiny_sae, Recorder, settings=NO_BASELINE)


def fitted_detectors(lab, n_calibration=9, **changes):
    """Returns the detectors of the first fold, and what they were fitted beside."""
    context = replace(lab.context, **changes)
    pipeline = lab.fit_pipeline(**changes)
    calibration = lab.observed(lab.fold.train[:n_calibration])
    test = lab.observed(lab.fold.test)
    return fit_detectors(context, pipeline, calibration, test, np.random.default_rng(0))


@pytest.fixture
def detectors(lab):
    """The detectors of the first fold, one recorder standing for all baselines."""
    Recorder.made = ()
    settings = replace(NO_BASELINE, make_baselines=lambda: [Recorder()])
    return fitted_detectors(lab, settings=settings)


def fitted_recorders():
    return [made for made in Recorder.made if made.fitted_on]


def test_every_detector_judges_what_is_wanted_and_train_samples_with_their_group_held_out(
    detectors, lab
):
    fold = lab.fold
    assert set(detectors.findings) == {"saetask", RANDOM_FEATURE, RANDOM_SAE, "recorder"}
    for name, findings in detectors.findings.items():
        assert list(findings) == [*fold.train[:9], *fold.test]
        if name != RANDOM_FEATURE:  # weights that were moved are not fitted, but for calibration
            told = {sample: 0.25 if sample in fold.train else 0.75 for sample in findings}
            assert {sample: finding.failure for sample, finding in findings.items()} == told


def test_every_detector_is_fitted_on_the_folds_train_samples_with_their_groups(detectors, lab):
    assert len(fitted_recorders()) == 3  # saetask's, the random SAE's, the baseline
    for recorder in fitted_recorders():
        rows = [(seen.content, gold, group) for seen, gold, group in recorder.fitted_on]
        assert rows == [(s.prompt.content, s.gold_reading, s.group) for s in lab.fold.train]


class Picky(Recorder):
    """Finds something in every other fit item, and in every test item but one."""

    def fit(self, readings, gold_readings, groups):
        super().fit(readings, gold_readings, groups)
        return [self._finding(reading, 0.75 * (i % 2)) for i, reading in enumerate(readings)]

    def detect(self, reading):
        return self._finding(reading, 0.0 if reading.content == self.spared else 0.75)


def test_random_features_annotate_as_many_samples_of_each_part_as_saetask(lab):
    fold = lab.fold
    Picky.spared = fold.test[3].prompt.content
    findings = fitted_detectors(lab, make_detector=Picky).findings

    def counts(name):
        parts = (fold.train[:9], fold.test)
        return [sum(bool(findings[name][s].misunderstandings) for s in part) for part in parts]

    assert counts(RANDOM_FEATURE) == counts("saetask") == [4, len(fold.test) - 1]


def test_weights_are_moved_to_other_features_that_fire_in_train_samples(detectors, lab):
    (moved,) = [made.replacement for made in Recorder.made if made.replacement is not None]
    observations = lab.observed(lab.fold.train)
    live = set(np.concatenate([o.features.features for o in observations]).tolist())
    assert set(moved) == set(moved.values()) == live
    assert all(feature != other for feature, other in moved.items())


def test_the_random_sae_is_read_instead_of_the_trained_one_and_nothing_else_differs(detectors, lab):
    own, through = [recorder.fitted_on for recorder in fitted_recorders()][:2]
    observations = lab.observed(lab.fold.train)
    for (first, *_), (second, *_), observation in zip(own, through, observations, strict=True):
        assert second.activations is observation.control_features
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
    ("detector", "redundant"),
    [
        (Recorder, []),
        (Blind, [RANDOM_FEATURE, RANDOM_SAE]),
        (BlindAtFirst, [RANDOM_FEATURE]),
    ],
)
def test_controls_of_a_detector_that_looks_at_no_feature_are_redundant(lab, detector, redundant):
    Recorder.made = ()
    assert fitted_detectors(lab, 3, make_detector=detector).redundant == redundant


def test_without_a_random_dictionary_there_is_no_such_detector(lab):
    without = {s: replace(o, control_features=None) for s, o in lab.observations.items()}
    findings = fitted_detectors(replace(lab, observations=without), 0).findings
    assert set(findings) == {"saetask", RANDOM_FEATURE}


def reachable(start):
    """Returns all objects that an object leads to, but for code."""
    objects, pending = {}, [start]
    while pending:
        found = pending.pop()
        code = isinstance(found, type | ModuleType | FunctionType | BuiltinFunctionType)
        if id(found) not in objects and not code:
            objects[id(found)] = found
            pending += gc.get_referents(found)
    return list(objects.values())


def test_what_a_detector_sees_leads_to_no_sample_item_or_gold_answer(detectors, lab):
    golds = {id(sample.item.gold) for sample in lab.samples}
    assert any(isinstance(found, Item) for found in reachable(lab.observations[lab.samples[0]]))
    for recorder in fitted_recorders():
        for seen, *_ in recorder.fitted_on:
            objects = reachable(seen)
            assert not [found for found in objects if isinstance(found, Sample | Item)]
            assert not [found for found in objects if id(found) in golds]
