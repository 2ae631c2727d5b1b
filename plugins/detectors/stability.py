"""Stability selection: which features a sparse probe picks again on other halves of the groups.

After Meinshausen and Bühlmann (2010), with halves in complementary pairs (Shah and Samworth 2013).
"""

from collections.abc import Callable, Sequence

import numpy as np

RESAMPLES = 16
"""Halves of the groups; an even number."""
CANDIDATES = 400
"""Columns, by their largest weight in the probe, that can be picked at all."""
STABLE = 0.6
"""A column picked in this share of the halves is stable."""

Refit = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Fits a sparse probe on some rows and columns; returns its weights, `[class, column]`."""


def stability(
    weights: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str],
    refit: Refit,
) -> np.ndarray:
    """Returns in which share of the halves each column is picked with the sign of its weight.

    A feature that fires on the target fires in the text too, and a sparse probe keeps either
    column. So a pick counts for all of the feature's columns whose weight has that sign.

    Args:
        weights: Of the final probe, `[class, column]`.
        features: The feature of each column, `[column]`.
        labels: The right class of each prompt, `[n]`.
        groups: Its group; a half has whole groups.
        refit: How to fit on a half.

    Returns:
        `[class, column]`; zero for columns that are no candidates.
    """
    n_classes, n_columns = weights.shape
    strongest = np.argsort(-np.abs(weights).max(0, initial=0.0), kind="stable")
    candidates = np.sort(strongest[:CANDIDATES])
    signs = np.sign(weights[:, candidates])
    counts, n_halves = np.zeros_like(signs), 0
    for rows in _halves(groups):
        if len(candidates) and len(np.unique(labels[rows])) == n_classes:
            picked = np.sign(refit(rows, candidates))
            for sign in (-1, 1):
                chosen = _by_feature((picked == sign) & (signs == sign), features[candidates])
                counts += chosen & (signs == sign)
            n_halves += 1
    shares = np.zeros((n_classes, n_columns))
    shares[:, candidates] = counts / max(n_halves, 1)
    return shares


def _halves(groups: Sequence[str]) -> list[np.ndarray]:
    """Returns the rows of each half: random halves of the groups, each with its complement."""
    generator = np.random.default_rng(0)
    known, numbers = np.unique(np.array(groups), return_inverse=True)
    halves = []
    for _ in range(RESAMPLES // 2):
        chosen = generator.permutation(len(known))[: len(known) // 2]
        inside = np.isin(numbers, chosen)
        halves += [np.flatnonzero(inside), np.flatnonzero(~inside)]
    return halves


def _by_feature(picked: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Returns whether any column of the column's feature was picked, `[class, column]`."""
    known, places = np.unique(features, return_inverse=True)
    found = np.zeros((len(picked), len(known)), bool)
    for row, chosen in zip(found, picked):
        row[places[chosen]] = True
    return found[:, places]
