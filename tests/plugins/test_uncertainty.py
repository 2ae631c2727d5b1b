"""The baseline that looks at the model's answer alone."""

import numpy as np
import pytest
from scipy.special import log_softmax, logit
from sklearn.metrics import roc_auc_score

from saetask import DetectorInput
from saetask_plugins.detectors.uncertainty import Uncertainty
from tests.helpers.planted_readings import CONTENT, REGIONS, SPANS, activations

NAMES = ("a", "b", "c")
SILENT = activations({}, REGIONS)


class Answers:
    """Answers of a model that is mostly wrong where it is unsure, and then right in its second."""

    def __init__(self, seed=0, n=240, informative=True):
        generator = np.random.default_rng(seed)
        self.readings, self.golds, self.groups = [], [], []
        for i in range(n):
            order = generator.permutation(NAMES).tolist()
            sure = generator.random() < 0.6
            wrong = generator.random() < ((0.1 if sure else 0.9) if informative else 0.4)
            margin = generator.uniform(2.0, 4.0) if sure else generator.uniform(0.0, 0.5)
            values = log_softmax([margin, 0.0, -3.0]).tolist()
            scores = dict(zip(order, values, strict=True))
            self.readings.append(DetectorInput(SILENT, CONTENT, SPANS, scores))
            self.golds.append(order[1] if wrong else order[0])
            self.groups.append(f"g{i // 6}")

    @property
    def failed(self):
        return [r.answer != gold for r, gold in zip(self.readings, self.golds, strict=True)]

    def fit(self):
        detector = Uncertainty()
        return detector, detector.fit(self.readings, self.golds, self.groups)


@pytest.fixture(scope="module")
def fitted():
    return Answers().fit()


def test_unsure_answers_are_predicted_to_fail_on_held_out_prompts(fitted):
    detector, held_out = fitted
    fresh = Answers(seed=1)
    found = [detector.detect(reading) for reading in fresh.readings]
    assert roc_auc_score(Answers().failed, [f.failure for f in held_out]) > 0.8
    assert roc_auc_score(fresh.failed, [f.failure for f in found]) > 0.8


def test_it_proposes_the_models_second_choice(fitted):
    fresh = Answers(seed=1)
    n_found = 0
    for reading in fresh.readings:
        finding = fitted[0].detect(reading)
        assert sum(finding.probabilities.values()) == pytest.approx(1.0)
        for misunderstanding in finding.misunderstandings:
            ranked = sorted(reading.answer_scores, key=reading.answer_scores.__getitem__)
            assert misunderstanding.reading == ranked[-2]
            assert misunderstanding.probability == finding.failure
            assert misunderstanding.features == []
            assert misunderstanding.text == "cc"
            n_found += 1
    assert 0.2 < n_found / len(fresh.readings) < 0.6


def test_an_answer_whose_doubts_mean_nothing_leads_to_no_finding():
    detector, held_out = Answers(informative=False).fit()
    fresh = Answers(seed=1, informative=False)
    found = [detector.detect(reading) for reading in fresh.readings]
    assert not any(f.misunderstandings for f in [*held_out, *found])
    assert 0.35 < roc_auc_score(fresh.failed, [f.failure for f in found]) < 0.65


def test_features_change_nothing(fitted):
    reading = Answers(n=6).readings[0]
    firing = activations({2: {7: 5.0}}, REGIONS)
    assert fitted[0].detect(DetectorInput(firing, CONTENT, SPANS, reading.answer_scores)) == fitted[
        0
    ].detect(reading)
    assert fitted[0].feature_ids().tolist() == []
    assert fitted[0].on_features({7: 8}, [reading], ["a"]) is fitted[0]


def test_a_prompts_own_gold_answer_does_not_enter_its_finding():
    sample = Answers()
    _, before = sample.fit()
    wrong, right = sample.failed[:6].index(True), sample.failed[:6].index(False)
    # As many of the group fail as before, so the folds are the same.
    sample.golds[wrong] = sample.readings[wrong].answer
    sample.golds[right] = next(name for name in NAMES if name != sample.readings[right].answer)
    _, after = sample.fit()
    changed = [x.failure != y.failure for x, y in zip(before, after, strict=True)]
    assert not any(changed[:6])
    assert any(changed[6:])


@pytest.mark.parametrize("always", ["right", "wrong"])
def test_a_model_that_is_always_right_or_always_wrong_gets_that_rate(always):
    sample = Answers()
    second = {"right": 0, "wrong": 1}[always]
    sample.golds = [
        sorted(NAMES, key=lambda n, r=r: -r.answer_scores[n])[second] for r in sample.readings
    ]
    detector, held_out = sample.fit()
    rate = (len(sample.golds) + 1) / (len(sample.golds) + 2)
    stated = detector.detect(sample.readings[0]).failure
    assert logit(stated) == pytest.approx(logit(rate) * (1 if always == "wrong" else -1))
    assert {f.failure > 0.5 for f in held_out} == {always == "wrong"}


def test_an_answer_that_says_nothing_still_gets_a_probability(fitted):
    silent = dict.fromkeys(NAMES, -np.inf)
    assert 0 < fitted[0].detect(DetectorInput(SILENT, CONTENT, SPANS, silent)).failure < 1
