"""Paired sign-flip permutation test of several treatments, corrected for multiple testing."""

from typing import NamedTuple

import numpy as np

N_FLIPS = 9_999
"""Default number of random sign flips."""
TOLERANCE = 1e-9
"""Statistics (from -1 to 1) that differ by less than this count as equal."""


class FlipTest(NamedTuple):
    """Result of a sign-flip test."""

    p_value: float
    """Corrected p-value of the best column."""
    p_values: np.ndarray
    """Corrected p-value of each column, `[n_columns]`, float64; their minimum is `p_value`."""
    exact: bool
    """Whether all sign flips were counted; otherwise they were drawn at random."""


def flip_test(differences: np.ndarray, seed: int = 0, n_flips: int = N_FLIPS) -> FlipTest:
    """Tests whether any column's mean is above 0, by flipping the signs of whole rows.

    Under the null hypothesis a row is as likely as its negative. All columns of a row are flipped
    together, which keeps their dependence, and each column is compared with the largest statistic
    of all columns (Westfall & Young 1993, single-step maxT), which corrects for the number of
    columns. The statistic is the mean over the root mean square, which no flip changes; that
    orders flips as Student's t does. All 2^n flips are counted where they are no more than
    `n_flips + 1`; else `n_flips` are drawn, and the observed signs are counted with them (Phipson
    & Smyth 2010), so no p-value is 0.

    For a two-sided test give each column and its negative.

    Args:
        differences: Treated minus control, `[n_rows, n_columns]`, any unit.
        seed: Seed of the flips drawn.
        n_flips: Maximum number of flips to draw.

    Raises:
        ValueError: No rows or no columns, or a difference is not finite.
    """
    differences = np.asarray(differences, float)
    if differences.ndim != 2 or not differences.size or not np.isfinite(differences).all():
        raise ValueError(f"Need finite differences [rows, columns], not {differences.shape}.")
    n = len(differences)
    largest = np.abs(differences).max(0)
    scaled = differences / np.where(largest > 0, largest, 1)  # squares neither over- nor underflow
    spread = np.sqrt((scaled**2).mean(0))
    scaled /= n * np.where(spread > 0, spread, 1)
    exact = 2**n <= n_flips + 1
    best = (_signs(n, seed, None if exact else n_flips) @ scaled).max(1)
    observed = scaled.sum(0)
    p_values = (best[:, None] >= observed - TOLERANCE).mean(0)
    return FlipTest(float(p_values.min()), p_values, exact)


def _signs(n: int, seed: int, n_flips: int | None) -> np.ndarray:
    """Returns sign vectors `[n_flips, n]`: all, or the observed one (all 1) and random ones."""
    if n_flips is None:
        return 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    drawn = np.random.default_rng(seed).choice([-1.0, 1.0], (n_flips, n))
    return np.concatenate([np.ones((1, n)), drawn])
