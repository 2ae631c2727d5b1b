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
    """Finds prompts whose answer the model is unsure of; it looks at no feature.

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
        self, readings: Sequence[DetectorInput], outcomes: Sequence[str], groups: Sequence[str]
    ) -> list[Finding]:
        """Fits the regression; each prompt's own finding comes from other groups."""
        self.readings = known_readings(outcomes, groups)
        inputs = self._inputs(readings)
        failed = np.array([r.answer != gold for r, gold in zip(readings, outcomes)])
        self.weights = _fit(inputs, failed)
        held_out = np.zeros(len(failed))
        for fold in inner_folds(failed, groups):
            held_out[fold.held_out] = inputs[fold.held_out] @ _fit(
                inputs[fold.fit], failed[fold.fit]
            )
        return [self._finding(*pair) for pair in zip(readings, held_out)]

    def detect(self, reading: DetectorInput) -> Finding:
        """Finds a misunderstanding where the second choice is more probable than the first."""
        return self._finding(reading, (self._inputs([reading]) @ self.weights)[0])

    def _finding(self, reading: DetectorInput, log_odds: float) -> Finding:
        from scipy.special import expit

        failure = float(expit(log_odds))
        likely = self._likely([reading])[0]
        others = {n: p for n, p in zip(self.readings, likely.tolist()) if n != reading.answer}
        total = sum(others.values())
        probabilities = {name: failure * p / total for name, p in others.items()}
        return make_finding(reading, {**probabilities, reading.answer: 1 - failure}, self.explain)

    def explain(self, reading: DetectorInput, name: str) -> Misunderstanding:
        """States the reading; no feature stands behind it."""
        return make_misunderstanding(self.name, reading, name)

    def _likely(self, readings: Sequence[DetectorInput]) -> np.ndarray:
        from scipy.special import softmax

        return softmax(answer_scores(readings, self.readings), axis=1)

    def _inputs(self, readings: Sequence[DetectorInput]) -> np.ndarray:
        """Returns entropy (in nats), margin and a one, `[n, 3]`."""
        from scipy.stats import entropy

        likely = self._likely(readings)
        second, first = np.sort(likely, axis=1)[:, -2:].T
        return np.stack([entropy(likely, axis=1), first - second, np.ones(len(likely))], axis=1)

    def on_features(
        self,
        replacement: Mapping[int, int],
        readings: Sequence[DetectorInput],
        outcomes: Sequence[str],
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


def _fit(inputs: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """Returns the weights of entropy and margin and the bias, `[3]`."""
    from scipy.special import logit
    from sklearn.linear_model import LogisticRegression

    if len(set(failed.tolist())) < 2:  # always right or always wrong: Laplace's rule of succession
        return np.array([0.0, 0.0, logit((failed.sum() + 1) / (len(failed) + 2))])
    model = LogisticRegression(C=STRENGTH).fit(inputs[:, :2], failed)
    return np.append(model.coef_[0], model.intercept_)
