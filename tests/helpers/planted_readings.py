"""Readings in which we planted what there is to find, for the tests of detectors."""

import numpy as np
from scipy.special import log_softmax
from sklearn.metrics import roc_auc_score

from saetask import FeatureActivations
from saetask.data import RenderedPrompt, Span
from saetask.detection import DetectorInput
from saetask.experiments.control_detectors import frequency_matched

D_SAE = 150
N_TOKENS = 8
TEXT = "aa bb cc dd ee ff gg hh "
CONTENT = TEXT[:18]
SPANS = {"text": Span(0, 18), "target": Span(6, 8)}
REGIONS = {**SPANS, "answer": Span(18, 24)}
TARGET_TOKEN = 2
PLANTED = {"a": [7, 11], "b": [23, 42]}


def activations(tokens, regions):
    """Makes one prompt's activations from `{token: {feature: value}}`."""
    rows = [sorted(tokens.get(t, {}).items()) for t in range(N_TOKENS)]
    spans = [Span(3 * t, 3 * t + 2) for t in range(N_TOKENS)]
    return FeatureActivations(
        [RenderedPrompt(TEXT, list(range(N_TOKENS)), spans, regions)],
        D_SAE,
        np.cumsum([0, *map(len, rows)]),
        np.array([f for row in rows for f, _ in row], np.int32),
        np.array([v for row in rows for _, v in row], np.float32),
    )


def answer_scores(answer, generator):
    """A model that prefers its answer by a margin that says little."""
    margin = abs(generator.normal(1.0, 0.5)) + 0.1
    values = log_softmax([margin * (answer == "a"), margin * (answer == "b")])
    return dict(zip("ab", values.tolist(), strict=True))


class PlantedSample:
    """Readings of prompts in groups of six, three of each reading; the model is 60 % right.

    On the target's token a feature planted for the right reading fires four times out of five, and
    one planted for the other once out of ten; about twelve features fire on every token by chance.
    """

    def __init__(self, seed=0, n_groups=40, plant=True, group_features=False, regions=REGIONS):
        generator = np.random.default_rng(seed)
        self.groups, self.golds, self.readings = [], [], []
        spans = {name: span for name, span in SPANS.items() if name in regions}
        for group in range(n_groups):
            for i in range(6):
                gold = "ab"[i % 2] if not group_features else "ab"[group % 2]
                tokens = {}
                for token in range(N_TOKENS):
                    firing = np.flatnonzero(generator.random(D_SAE) < 0.08)
                    firing = [f for f in firing.tolist() if f not in [7, 11, 23, 42]]
                    tokens[token] = dict.fromkeys(firing, float(generator.gamma(2.0)))
                for reading, features in PLANTED.items() if plant else ():
                    for feature in features:
                        if generator.random() < (0.8 if reading == gold else 0.1):
                            tokens[TARGET_TOKEN][feature] = 2.0 + float(generator.gamma(2.0))
                if group_features:
                    tokens[TARGET_TOKEN][100 + group] = 9.0
                right = generator.random() < 0.6
                answer = gold if right else {"a": "b", "b": "a"}[gold]
                self.groups.append(f"g{seed}-{group}")
                self.golds.append(gold)
                scores = answer_scores(answer, generator)
                found = activations(tokens, regions)
                self.readings.append(DetectorInput(found, CONTENT, spans, scores))

    @property
    def failed(self):
        return [r.answer != gold for r, gold in zip(self.readings, self.golds, strict=True)]

    def auroc(self, findings):
        return roc_auc_score(self.failed, [finding.failure for finding in findings])

    def stated(self, findings):
        """Returns every finding's first misunderstanding, with the prompt's right reading."""
        return [
            (finding.misunderstandings[0], gold)
            for finding, gold in zip(findings, self.golds, strict=True)
            if finding.misunderstandings
        ]

    def with_a_third_reading(self):
        """Returns the right readings, "c" where no planted feature fires on the target."""
        planted = [feature for features in PLANTED.values() for feature in features]
        return [
            gold if any(reading.pooled("target")[0, f] for f in planted) else "c"
            for reading, gold in zip(self.readings, self.golds, strict=True)
        ]

    def silenced(self):
        """Returns the sample with the same answers, and no firing anywhere."""
        silent = activations({}, REGIONS)
        self.readings = [
            DetectorInput(silent, CONTENT, SPANS, r.answer_scores) for r in self.readings
        ]
        return self

    def fit(self, detector):
        """Returns the detector and its findings with the prompt's group held out."""
        return detector, detector.fit(self.readings, self.golds, self.groups)


class Fitted:
    """A detector, the sample that it was fitted on, and what it finds in a fresh one."""

    def __init__(self, detector):
        self.sample, self.fresh = PlantedSample(), PlantedSample(seed=1)
        self.detector, self.held_out = self.sample.fit(detector)
        self.found = self.finds(detector)

    def finds(self, detector):
        """Returns what a detector finds in the fresh sample."""
        return [detector.detect(reading) for reading in self.fresh.readings]

    def on_other_features(self):
        """Returns the detector with its weights on other features, which fire about as often."""
        features = [reading.activations.features for reading in self.sample.readings]
        density = np.bincount(np.concatenate(features), minlength=D_SAE)
        mapping = frequency_matched(density, np.random.default_rng(0))
        return self.detector.on_features(mapping, self.sample.readings, self.sample.golds)


def share_found_in_noise(detector, seed, n_groups=40):
    """Fits a detector on nothing; returns in which share of all prompts it finds something."""
    _, held_out = PlantedSample(seed, n_groups, plant=False).fit(detector)
    fresh = PlantedSample(seed + 10, plant=False)
    findings = [*held_out, *(detector.detect(reading) for reading in fresh.readings)]
    return np.mean([bool(finding.misunderstandings) for finding in findings])
