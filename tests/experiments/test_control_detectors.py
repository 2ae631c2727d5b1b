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
    MOVED_WEIGHTS,
    RANDOM_SAES,
    RANDOM_SUBSET,
    count_random_saes,
    fit_detectors,
    match_annotation_rate,
)
from tests.helpers.made_up_readings import make_reading
from tests.helpers.planted_concepts import make_concept
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
    uses_concepts = True
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


def fitted_detectors(lab, arms=(), **changes):
    """Returns the detectors of the first fold."""
    context = replace(lab.context, **changes)
    pipeline = lab.fit_pipeline(**changes)
    test = lab.observed(lab.fold.test)
    return fit_detectors(context, pipeline, test, arms, np.random.default_rng(0))


@pytest.fixture
def detectors(lab):
    """The detectors of the first fold, one recorder standing for all baselines."""
    Recorder.made = ()
    settings = replace(NO_BASELINE, make_baselines=lambda: [Recorder()])
    return fitted_detectors(lab, settings=settings)


def fitted_recorders():
    return [made for made in Recorder.made if made.fitted_on]


def test_every_detector_judges_the_test_samples_and_no_other(detectors, lab):
    assert set(detectors.findings) == {"saetask", MOVED_WEIGHTS, *RANDOM_SAES, "recorder"}
    for findings in detectors.findings.values():
        assert list(findings) == lab.fold.test
        assert {finding.failure for finding in findings.values()} == {0.75}


def test_every_detector_is_fitted_on_the_folds_train_samples_with_their_groups(detectors, lab):
    assert len(fitted_recorders()) == 2 + len(RANDOM_SAES)  # saetask's, and the baseline
    for recorder in fitted_recorders():
        rows = [(seen.content, gold, group) for seen, gold, group in recorder.fitted_on]
        assert rows == [(s.prompt.content, s.gold_reading, s.group) for s in lab.fold.train]


class Picky(Recorder):
    """Finds something in every test item but one."""

    def detect(self, reading):
        return self._finding(reading, 0.0 if reading.content == self.spared else 0.75)


def test_moved_weights_annotate_as_many_samples_as_saetask(lab):
    test = lab.fold.test
    Picky.spared = test[3].prompt.content
    findings = fitted_detectors(lab, make_detector=Picky).findings

    def count(name):
        return sum(bool(findings[name][sample].misunderstandings) for sample in test)

    assert count(MOVED_WEIGHTS) == count("saetask") == len(test) - 1


def live_features(lab):
    """Returns the features that fire in train samples."""
    observations = lab.observed(lab.fold.train)
    return set(np.concatenate([o.features.features for o in observations]).tolist())


def test_weights_are_moved_to_other_features_that_fire_in_train_samples(detectors, lab):
    (moved,) = [made.replacement for made in Recorder.made if made.replacement is not None]
    assert set(moved) == set(moved.values()) == live_features(lab)
    assert all(feature != other for feature, other in moved.items())


def test_each_random_sae_is_read_instead_of_the_trained_one_and_nothing_else_differs(
    detectors, lab
):
    own, *through = [recorder.fitted_on for recorder in fitted_recorders()][:-1]
    observations = lab.observed(lab.fold.train)
    assert len(through) == len(RANDOM_SAES)
    for number, fitted_on in enumerate(through):
        for (first, *_), (second, *_), observation in zip(own, fitted_on, observations):
            assert second.activations is observation.control_features[number]
            assert (second.pooled("text") != first.pooled("text")).nnz
            assert second.raw is first.raw
            for name in ("content", "spans", "answer_scores"):
                assert getattr(second, name) == getattr(first, name)
    first, second = (fitted_on[0][0].activations for fitted_on in through[:2])
    assert (first.pooled() != second.pooled()).nnz


def with_concepts(lab, concepts):
    """Returns the lab, its prompts read with concepts."""
    observations = {s: replace(o, concepts=concepts) for s, o in lab.observations.items()}
    return replace(lab, observations=observations)


def test_a_random_dictionary_is_read_with_random_groups_and_a_subset_with_what_it_keeps(lab):
    concepts = tuple(make_concept(f"c{i}", range(6 * i, 6 * i + 6)) for i in range(4))
    Recorder.made = ()
    fitted_detectors(with_concepts(lab, concepts), [RANDOM_SUBSET])
    own, *through, subset = [recorder.fitted_on for recorder in fitted_recorders()]
    assert {given.concepts for given, *_ in own} == {concepts}
    for fitted_on in through:
        (groups,) = {given.concepts for given, *_ in fitted_on}
        live = {f for given, *_ in fitted_on for f in given.activations.features.tolist()}
        assert [len(g.features) for g in groups] == [min(6, len(live))] * 4
        assert {f for g in groups for f in g.features} <= live
        assert not {g.name for g in groups} & {c.name for c in concepts}
    (kept,) = {given.concepts for given, *_ in subset}
    seen = {f for given, *_ in subset for f in given.activations.features.tolist()}
    assert [c.id for c in kept] == [c.id for c in concepts]
    assert {f for c in kept for f in c.features} == seen & set(range(24))


def test_a_detector_that_can_do_without_concepts_has_none_in_a_random_dictionary(lab, monkeypatch):
    monkeypatch.setattr(Recorder, "uses_concepts", False)
    concepts, Recorder.made = (make_concept("c", range(6)),), ()
    fitted_detectors(with_concepts(lab, concepts), [RANDOM_SUBSET])
    own, *through, _ = [recorder.fitted_on for recorder in fitted_recorders()]
    assert {given.concepts for given, *_ in own} == {concepts}
    assert {given.concepts for fitted_on in through for given, *_ in fitted_on} == {()}


def test_single_named_features_become_random_ones_and_those_that_a_subset_keeps(lab):
    silent = 10_000  # no feature of this SAE: it never fires
    named = tuple(make_concept(f"f{i}", [i]) for i in (*range(23), silent))
    groups = (make_concept("c", range(6)),)
    observations = {
        s: replace(o, concepts=groups, named_features=named) for s, o in lab.observations.items()
    }
    Recorder.made = ()
    fitted_detectors(replace(lab, observations=observations), [RANDOM_SUBSET])
    own, *through, subset = [recorder.fitted_on for recorder in fitted_recorders()]
    assert {given.named_features for given, *_ in own} == {named}
    own_live = {f for given, *_ in own for f in given.activations.features.tolist()}
    n_candidates = len(own_live & set(range(23)))
    assert 0 < n_candidates < len(named)
    for fitted_on in through:
        (drawn,) = {given.named_features for given, *_ in fitted_on}
        live = {f for given, *_ in fitted_on for f in given.activations.features.tolist()}
        assert len(drawn) == min(n_candidates, len(live)), "as many as saetask chooses among"
        assert {f for c in drawn for f in c.features} <= live
    (kept,) = {given.named_features for given, *_ in subset}
    seen = {f for given, *_ in subset for f in given.activations.features.tolist()}
    assert {f for c in kept for f in c.features} == seen & set(range(23))


def test_control_features_are_the_same_with_and_without_concepts(lab):
    concepts = (make_concept("c", range(6)),)
    seen = []
    for each in (lab, with_concepts(lab, concepts)):
        Recorder.made = ()
        fitted_detectors(each, [RANDOM_SUBSET])
        *_, subset = [recorder.fitted_on for recorder in fitted_recorders()]
        seen.append({f for given, *_ in subset for f in given.activations.features.tolist()})
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("arms", "n"),
    [((), 1), (["saetask", "random-sae"], 1), (["random-sae-2"], 2), (["random-sae-3"], 3)],
)
def test_as_many_random_dictionaries_are_read_as_arms_need_and_one_at_least(arms, n):
    assert count_random_saes(arms) == n


# features drawn at random


class Naming(Recorder):
    """A detector of twelve features, of which it can name some."""

    n_stable = 5

    def feature_ids(self):
        return np.arange(12)

    def summary(self):
        return {} if self.n_stable is None else {"n_stable_features": self.n_stable}


@pytest.mark.parametrize(("n_stable", "n_drawn"), [(5, 5), (1, 1), (0, 6), (None, 6)], ids=str)
def test_a_detector_is_fitted_anew_on_as_many_live_features_as_can_be_named_or_half_of_those_used(
    lab, monkeypatch, n_stable, n_drawn
):
    monkeypatch.setattr(Naming, "n_stable", n_stable)
    Recorder.made = ()
    findings = fitted_detectors(lab, [RANDOM_SUBSET], make_detector=Naming).findings
    assert list(findings[RANDOM_SUBSET]) == lab.fold.test
    own, *_, subset = [recorder.fitted_on for recorder in fitted_recorders()]
    seen = {f for given, *_ in subset for f in given.activations.features.tolist()}
    assert len(seen) == n_drawn and seen <= live_features(lab)
    for (first, gold, group), (second, *told) in zip(own, subset, strict=True):
        kept = np.flatnonzero(np.isin(np.arange(second.activations.d_sae), list(seen)))
        expected = first.pooled("text").toarray()[:, kept]
        assert np.array_equal(second.pooled("text").toarray()[:, kept], expected)
        assert second.pooled("text").nnz == (expected != 0).sum()
        assert told == [gold, group] and second.raw is first.raw


def test_no_features_are_drawn_for_an_arm_that_is_not_run(lab):
    assert RANDOM_SUBSET not in fitted_detectors(lab).findings


class Blind(Recorder):
    """A detector that looks at no feature."""

    def feature_ids(self):
        return np.empty(0, int)


class BlindAtFirst(Recorder):
    """A detector that looks at no feature if it is the first that is made, which is saetask's."""

    def feature_ids(self):
        return np.arange(self is not Recorder.made[0])


@pytest.mark.parametrize(
    ("detector", "redundant"),
    [
        (Recorder, []),
        (Blind, [MOVED_WEIGHTS, *RANDOM_SAES, RANDOM_SUBSET]),
        (BlindAtFirst, [MOVED_WEIGHTS]),
    ],
)
def test_controls_of_a_detector_that_looks_at_no_feature_are_redundant(lab, detector, redundant):
    Recorder.made = ()
    found = fitted_detectors(lab, [RANDOM_SUBSET], make_detector=detector)
    assert found.redundant == redundant


def test_without_a_random_dictionary_there_is_no_such_detector(lab):
    without = {s: replace(o, control_features=()) for s, o in lab.observations.items()}
    findings = fitted_detectors(replace(lab, observations=without)).findings
    assert set(findings) == {"saetask", MOVED_WEIGHTS}


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
