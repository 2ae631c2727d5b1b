"""Removing a constant bias of the model towards some kind of answer, the same way in every arm."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RIDGE = 1e-3
"""Weight of the squared offsets in the loss: keeps them finite where a kind is never right."""
FEWEST_ITEMS = 10
"""With fewer items that have a right candidate, an offset is mostly noise."""


class ScoredItem(NamedTuple):
    """The candidates of one item, as ranked in one arm."""

    scores: np.ndarray
    """Log-likelihood of each candidate, in nats, `[n_candidates]`."""
    readings: Sequence[str]
    """The reading that each candidate stands for."""
    correct: np.ndarray
    """Whether each candidate is right, `[n_candidates]`, bool."""


class Calibration(NamedTuple):
    """`slope * score + offset of the reading`."""

    slope: float
    offsets: dict[str, float]

    def apply(self, scores: np.ndarray, readings: Sequence[str]) -> np.ndarray:
        """Returns log-probabilities over the candidates, `[n_candidates]`."""
        from scipy.special import log_softmax

        if not len(scores):
            return np.empty(0)
        offsets = np.array([self.offsets.get(reading, 0.0) for reading in readings])
        return log_softmax(self.slope * scores + offsets)


def fit_calibration(items: Sequence[ScoredItem]) -> Calibration:
    """Fits slope (not below zero) and offsets by maximum likelihood of a right candidate.

    Items without a right candidate say nothing and are left out.
    """
    from scipy.optimize import minimize

    items = [item for item in items if item.correct.any()]
    names = sorted({reading for item in items for reading in item.readings})
    if not items or len(names) < 2:
        return Calibration(1.0, {})
    width = max(len(item.scores) for item in items)
    scores = np.full((len(items), width), -np.inf)
    kinds = np.zeros((len(items), width), dtype=int)
    correct = np.zeros((len(items), width), dtype=bool)
    for row, item in enumerate(items):
        n = len(item.scores)
        scores[row, :n] = item.scores - item.scores.max()
        kinds[row, :n] = [names.index(reading) for reading in item.readings]
        correct[row, :n] = item.correct
    present = np.isfinite(scores)
    filled = np.where(present, scores, 0.0)

    def loss(values: np.ndarray) -> float:
        from scipy.special import logsumexp

        logits = np.where(present, values[0] * filled + values[1:][kinds], -np.inf)
        right = logsumexp(np.where(correct, logits, -np.inf), axis=1)
        likelihood = (right - logsumexp(logits, axis=1)).mean()
        return -likelihood + RIDGE * (values[1:] ** 2).sum()

    bounds = [(0.0, None), *[(None, None)] * len(names)]
    start = np.array([1.0, *np.zeros(len(names))])
    fitted = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x
    return Calibration(float(fitted[0]), dict(zip(names, fitted[1:].tolist())))


def calibration_or(items: Sequence[ScoredItem], otherwise: Calibration) -> Calibration:
    """Fits on these items, or returns another calibration where they are fewer than needed."""
    n_telling = sum(bool(item.correct.any()) for item in items)
    return fit_calibration(items) if n_telling >= FEWEST_ITEMS else otherwise
