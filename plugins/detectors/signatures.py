"""Contrastive signatures: the features that distinguish the prompts of one reading."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from saetask.detection import (
    DetectorInput,
    Evidence,
    fit_stack,
    log_activations,
    out_of_fold,
    stacked_probabilities,
)

SIZES = (10, 30, 100, 300)
"""How many features a signature may have; one is chosen on the fit split."""
MIN_FIRINGS = 3


class Signatures(NamedTuple):
    """The features that set each class apart, and by how much."""

    region: str
    """Where in the prompt they are looked for."""
    features: np.ndarray
    """Ascending, `[m]`."""
    contrasts: np.ndarray
    """Difference of the class's mean from the other classes', in standard deviations;
    zero where a feature is not in the class's signature, `[class, m]`."""

    def log_odds(self, inputs: Sequence[DetectorInput]) -> np.ndarray:
        """Returns the cosine of each prompt's activations with each signature, `[n, class]`."""
        rows = log_activations(inputs, self.region)
        lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(1)))
        return (rows[:, self.features] @ self._directions().T) / np.maximum(lengths, 1e-12)

    def evidence(
        self, detector_input: DetectorInput, chosen: int, scale: float, most: int
    ) -> list[Evidence]:
        """Names the features that add most to a class's log-odds, against the others' mean.

        Args:
            detector_input: The prompt.
            chosen: The class.
            scale: What the cosine is multiplied with; if negative, evidence against the class.
            most: Maximum number of features.
        """
        row = log_activations([detector_input], self.region)
        values = row[:, self.features].toarray()[0]
        directions = self._directions()
        weights = directions[chosen] - np.delete(directions, chosen, axis=0).mean(0)
        weights = weights * scale / max(float(np.sqrt(row.multiply(row).sum())), 1e-12)
        return strongest_evidence(self.features, values, weights, most)

    def moved(self, replacement: Mapping[int, int]) -> "Signatures":
        """Returns the same contrasts on other features."""
        features = [replacement.get(feature, feature) for feature in self.features.tolist()]
        return self._replace(features=np.array(features, np.int64))

    def _directions(self) -> np.ndarray:
        lengths = np.linalg.norm(self.contrasts, axis=1, keepdims=True)
        return self.contrasts / np.maximum(lengths, 1e-12)


class Sized(NamedTuple):
    """The size of signature that predicts held-out prompts best."""

    size: int
    log_odds: np.ndarray
    """Out of fold, `[n, class]`."""


def fit_signatures(
    inputs: Sequence[DetectorInput],
    labels: np.ndarray,
    region: str,
    size: int,
    signed: bool = True,
) -> Signatures:
    """Learns what sets each class apart.

    Args:
        inputs: Prompts of every class.
        labels: Their classes, `[n]`.
        region: Where features are looked for.
        size: How many features each class keeps: those with the largest contrast.
        signed: Keep features that are missing in the class as well as those that it has.
    """
    contrasts = _contrasts(log_activations(inputs, region), labels)
    strength = np.abs(contrasts) if signed else np.maximum(contrasts, 0.0)
    for row, magnitudes in zip(contrasts, strength):
        kept = np.argsort(-magnitudes, kind="stable")[:size]
        dropped = np.ones(len(row), bool)
        dropped[kept[magnitudes[kept] > 0]] = False
        row[dropped] = 0.0
    features = np.flatnonzero(np.abs(contrasts).sum(0))
    return Signatures(region, features, contrasts[:, features])


def _contrasts(rows: csr_matrix, labels: np.ndarray) -> np.ndarray:
    """Returns how far each class's mean lies from the mean of the others', `[class, d_sae]`.

    The unit is the pooled standard deviation within classes plus its median over features, which
    keeps features that hardly vary from leading (as in nearest shrunken centroids).
    """
    members = (labels[:, None] == np.unique(labels)).astype(float)
    counts = members.sum(0)
    n_classes = len(counts)
    means = (rows.T @ members).T / counts[:, None]
    squares = np.asarray(rows.multiply(rows).sum(0))[0] - counts @ means**2
    deviations = np.sqrt(np.maximum(squares, 0.0) / max(len(labels) - n_classes, 1))
    live = rows.getnnz(axis=0) >= MIN_FIRINGS
    unit = deviations + np.median(deviations[live]) if live.any() else deviations
    others = (means.sum(0) - means) / (n_classes - 1)
    return np.where(live & (unit > 0), (means - others) / np.where(unit > 0, unit, 1.0), 0.0)


def choose_size(
    labels: np.ndarray,
    groups: Sequence[str],
    log_odds: Callable[[np.ndarray, np.ndarray, int], np.ndarray],
) -> Sized:
    """Returns the size with the least loss on prompts whose group was held out.

    Args:
        labels: The right class of each prompt, `[n]`.
        groups: Its group.
        log_odds: Fits on the prompts at the first indices, with signatures of the given size, and
            returns the log-odds of those at the second, `[len(second), class]`.
    """
    tried = [
        Sized(size, out_of_fold(labels, groups, lambda fit, test, n=size: log_odds(fit, test, n)))
        for size in SIZES
    ]
    return min(tried, key=lambda t: calibrated_loss(t.log_odds, np.zeros_like(t.log_odds), labels))


def calibrated_loss(log_odds: np.ndarray, answers: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean negative log-likelihood of the right class after calibration."""
    stack = fit_stack(log_odds, answers, labels)
    right = stacked_probabilities(stack, log_odds, answers)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(right, 1e-12)).mean())


def strongest_evidence(
    features: np.ndarray, values: np.ndarray, weights: np.ndarray, most: int
) -> list[Evidence]:
    """Names the features whose log-activation times weight is largest and above zero.

    Args:
        features: Ids, `[m]`.
        values: Signed log(1 + |activation|) of each, `[m]`.
        weights: What a unit of that adds, `[m]`.
        most: Maximum number of features.
    """
    adds = values * weights
    order = np.argsort(-adds, kind="stable")[:most]
    activations = np.copysign(np.expm1(np.abs(values)), values)
    return [
        Evidence(int(features[i]), "", float(activations[i]), float(weights[i]))
        for i in order
        if adds[i] > 0
    ]
