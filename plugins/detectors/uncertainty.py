"""The baseline without an SAE: how sure the model is of its own answer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saetask.detection import (
    DetectorInput,
    Finding,
    Misunderstanding,
    answer_scores,
    inner_folds,
    known_readings,
    make_finding,
    make_misunderstanding,
)

STRENGTH = 10.0
"""Inverse strength C of the penalty on the two weights."""


class Uncertainty:
    """Finds prompts whose answer has a high entropy or small margin; uses no feature.

    Logistic regression predicts that the model is wrong from two figures of its own calibrated
    answer: the entropy over the readings, and the margin between the two most probable ones. What
    it takes from the answer's probability goes to the other readings in the model's own
    proportions, so the reading that it proposes is the model's second choice.
    """

    name = "uncertainty"

    def __init__(self) -> None:
        self.readings: list[str] = []
        self.weights = np.empty(0)
        """Of entropy and margin, and the bias, `[3]`."""

    def fit(
        self, inputs: Sequence[DetectorInput], gold_readings: Sequence[str], groups: Sequence[str]
    ) -> list[Finding]:
        """Fits the regression; each prompt's own finding comes from other groups."""
        self.readings = known_readings(gold_readings, groups)
        design = self._answer_figures(inputs)
        failed = np.array([r.answer != gold for r, gold in zip(inputs, gold_readings)])
        self.weights = _fit(design, failed)
        held_out = np.zeros(len(failed))
        for fold in inner_folds(failed, groups):
            held_out[fold.held_out] = design[fold.held_out] @ _fit(
                design[fold.fit], failed[fold.fit]
            )
        return [self._finding(*pair) for pair in zip(inputs, held_out)]

    def detect(self, detector_input: DetectorInput) -> Finding:
        """Finds a misunderstanding where the second choice is more probable than the first."""
        log_odds = (self._answer_figures([detector_input]) @ self.weights)[0]
        return self._finding(detector_input, log_odds)

    def _finding(self, detector_input: DetectorInput, log_odds: float) -> Finding:
        from scipy.special import expit

        failure = float(expit(log_odds))
        likely = self._likely([detector_input])[0]
        answer = detector_input.answer
        others = {name: p for name, p in zip(self.readings, likely.tolist()) if name != answer}
        total = sum(others.values())
        probabilities = {name: failure * p / total for name, p in others.items()}
        return make_finding(detector_input, {**probabilities, answer: 1 - failure}, self.explain)

    def explain(self, detector_input: DetectorInput, reading: str) -> Misunderstanding:
        """States the reading; no feature stands behind it."""
        return make_misunderstanding(self.name, detector_input, reading)

    def _likely(self, inputs: Sequence[DetectorInput]) -> np.ndarray:
        from scipy.special import softmax

        return softmax(answer_scores(inputs, self.readings), axis=1)

    def _answer_figures(self, inputs: Sequence[DetectorInput]) -> np.ndarray:
        """Returns entropy (in nats), margin and a one, `[n, 3]`."""
        from scipy.stats import entropy

        likely = self._likely(inputs)
        second, first = np.sort(likely, axis=1)[:, -2:].T
        return np.stack([entropy(likely, axis=1), first - second, np.ones(len(likely))], axis=1)

    def on_features(
        self,
        replacement: Mapping[int, int],
        inputs: Sequence[DetectorInput],
        gold_readings: Sequence[str],
    ) -> "Uncertainty":
        """Returns itself: it has no weight on any feature."""
        return self

    def feature_ids(self) -> np.ndarray:
        """Returns no feature."""
        return np.empty(0, np.int64)

    def summary(self) -> dict[str, Any]:
        """Returns what entropy and margin add to the log-odds that the model is wrong."""
        entropy, margin, bias = self.weights.tolist()
        return {"weight_of_entropy": entropy, "weight_of_margin": margin, "bias": bias}

    def state_dict(self) -> dict[str, Any]:
        """Returns every attribute."""
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over every attribute."""
        vars(self).update(state)


def _fit(design: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """Returns the weights of entropy and margin and the bias, `[3]`."""
    from scipy.special import logit
    from sklearn.linear_model import LogisticRegression

    if len(set(failed.tolist())) < 2:  # always right or always wrong: Laplace's rule of succession
        return np.array([0.0, 0.0, logit((failed.sum() + 1) / (len(failed) + 2))])
    model = LogisticRegression(C=STRENGTH).fit(design[:, :2], failed)
    return np.append(model.coef_[0], model.intercept_)
