"""Removing a constant bias of the model towards some kind of answer, the same way in every arm."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

RIDGE = 1e-3
"""Weight of the squared offsets in the loss: keeps them finite where a kind is never right."""
FEWEST_ITEMS = 10
"""With fewer items that have a right candidate, an offset is mostly noise."""
CHANCE = 0.01
"""Level of the likelihood-ratio test that an offset, or a probe, must pass to be used."""


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


UNCALIBRATED = Calibration(1.0, {})
"""Leaves the model's own answer as it is."""


class SoftmaxFit(NamedTuple):
    """A fitted softmax regression on scaled scores."""

    weights: np.ndarray
    """Of each kind of score, not below zero, `[n_scores]`."""
    biases: np.ndarray
    """Of each kind of choice, `[n_kinds]`."""
    loss: float
    """Mean negative log-likelihood of a right choice, in nats, plus the ridge penalty."""


def fit_scaled_softmax(
    scores: Sequence[Float[np.ndarray, "item choice"]],
    kinds: Int[np.ndarray, "item choice"],
    correct: Bool[np.ndarray, "item choice"],
    start: Sequence[float],
) -> SoftmaxFit:
    """Fits `softmax(sum of weight * score + bias of the kind)` by maximum likelihood.

    The likelihood is that of any right choice of each item; weights are not below zero, and
    biases have a ridge penalty of `RIDGE`. Fitted by L-BFGS-B.

    Args:
        scores: The scores of each choice, one array a weight; -inf in the first where an item has
            fewer choices than others.
        kinds: The kind of each choice, counted from 0; each kind has a bias.
        correct: Whether each choice is right; every item has a right choice.
        start: The weights to start from; the biases start at zero.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    present = np.isfinite(scores[0])
    filled = [np.where(present, score, 0.0) for score in scores]
    n_weights, n_kinds = len(scores), int(kinds.max()) + 1

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        """Returns the loss and its gradient, `[n_weights + n_kinds]`."""
        weights, biases = values[:n_weights], values[n_weights:]
        weighted = sum(weight * score for weight, score in zip(weights, filled))
        logits = np.where(present, weighted + biases[kinds], -np.inf)
        right_logits = np.where(correct, logits, -np.inf)
        right = logsumexp(right_logits, axis=1, keepdims=True)
        every = logsumexp(logits, axis=1, keepdims=True)
        # The likelihood's slope along a choice's logit: its share of the right ones, less of all.
        slopes = (np.exp(logits - every) - np.exp(right_logits - right)) / len(logits)
        along_biases = np.bincount(kinds.ravel(), slopes.ravel(), minlength=n_kinds)
        along_weights = [float((slopes * score).sum()) for score in filled]
        gradient = np.array([*along_weights, *(along_biases + 2 * RIDGE * biases)])
        return float((every - right).mean() + RIDGE * (biases**2).sum()), gradient

    bounds = [(0.0, None)] * n_weights + [(None, None)] * n_kinds
    first = np.array([*start, *np.zeros(n_kinds)])
    fit = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds)
    return SoftmaxFit(fit.x[:n_weights], fit.x[n_weights:], float(fit.fun))


def fit_calibration(items: Sequence[ScoredItem]) -> Calibration:
    """Fits slope (not below zero) and offsets by maximum likelihood of a right candidate.

    Items without a right candidate say nothing and are left out.
    """
    return _fit(items, level=None)


def tested_calibration(items: Sequence[ScoredItem]) -> Calibration:
    """Fits a calibration that is used only if its offsets explain the right answers.

    Returns `UNCALIBRATED` unless the offsets, one a reading, raise the likelihood by more than
    chance does (likelihood-ratio test at the level `CHANCE`), and on fewer than `FEWEST_ITEMS`
    items. Where the answers say nothing about the right ones, offsets that are fitted on one split
    would only move its majority into another one.
    """
    if sum(bool(item.correct.any()) for item in items) < FEWEST_ITEMS:
        return UNCALIBRATED
    return _fit(items, CHANCE)


def _fit(items: Sequence[ScoredItem], level: float | None) -> Calibration:
    """Fits a calibration; with a level, one whose offsets pass a test, or else none."""
    items = [item for item in items if item.correct.any()]
    names = sorted({reading for item in items for reading in item.readings})
    if not items or len(names) < 2:
        return UNCALIBRATED
    shape = len(items), max(len(item.scores) for item in items)
    scores = np.full(shape, -np.inf)
    kinds = np.zeros(shape, dtype=int)
    correct = np.zeros(shape, dtype=bool)
    for row, item in enumerate(items):
        n = len(item.scores)
        scores[row, :n] = item.scores - item.scores.max()
        kinds[row, :n] = [names.index(reading) for reading in item.readings]
        correct[row, :n] = item.correct
    fit = fit_scaled_softmax([scores], kinds, correct, start=[1.0])
    if level is not None:
        # One bias for all kinds moves all choices alike: only the slope is fitted.
        plain = fit_scaled_softmax([scores], np.zeros_like(kinds), correct, start=[1.0])
        if not improves(len(items), plain.loss, fit.loss, len(names) - 1, level):
            return UNCALIBRATED
    return Calibration(float(fit.weights[0]), dict(zip(names, fit.biases.tolist())))


def improves(n: int, without: float, joined: float, n_parameters: int, level: float) -> bool:
    """Returns whether more parameters lower a loss by more than chance does.

    Likelihood-ratio test (Wilks 1938): twice the gain in log-likelihood is compared with the
    chi-squared distribution.

    Args:
        n: Number of items.
        without: Mean negative log-likelihood without the parameters, in nats.
        joined: The same with them.
        n_parameters: How many there are.
        level: Level of the test; at 1 any gain passes.
    """
    from scipy.stats import chi2

    return bool(2 * n * (without - joined) > chi2.isf(level, n_parameters))
