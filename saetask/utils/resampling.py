"""Percentile bootstrap over whole groups of items (Efron & Tibshirani 1993, chapter 13).

Items of one group (one source text, one template) are not independent. If each item is its own
group, this is the ordinary bootstrap. The same seed gives the same interval.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.integer]
Floats = NDArray[np.floating]
BLOCK = 100
"""Resamples held in memory at a time; results do not depend on it."""


class Interval(NamedTuple):
    """A 95 % interval, both ends included."""

    low: float
    high: float


def group_indices(groups: Sequence[str], *columns: NDArray) -> Ints:
    """Returns each item's group as a number from 0.

    Raises:
        ValueError: A column has another length than `groups`, or there are no items.
    """
    shapes = [column.shape for column in columns]
    if not len(groups) or set(shapes) != {(len(groups),)}:
        raise ValueError(f"{len(groups)} groups for arrays of shape {shapes}; need as many, not 0.")
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups])


def bootstrap_interval(
    indices: Ints, statistic: Callable[[Ints], Floats], seed: int, n_resamples: int
) -> Interval:
    """Returns the interval of a statistic that every resample has; see `resampled_values`."""
    interval = interval_of(resampled_values(indices, statistic, seed, n_resamples))
    assert interval is not None
    return interval


def resampled_values(
    indices: Ints, statistic: Callable[[Ints], Floats], seed: int, n_resamples: int
) -> Floats:
    """Returns a statistic of resampled groups, `[n_resamples]`.

    `statistic` maps item weights `[resample, item]` to values `[resample]`.
    """
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, not {n_resamples}.")
    rng, n_groups = np.random.default_rng(seed), int(indices.max()) + 1
    shares = np.full(n_groups, 1 / n_groups)
    sizes = [min(BLOCK, n_resamples - start) for start in range(0, n_resamples, BLOCK)]
    counts = (rng.multinomial(n_groups, shares, size) for size in sizes)
    return np.concatenate([statistic(block[:, indices]) for block in counts])


def interval_of(values: Floats) -> Interval | None:
    """Returns the interval of `values` `[resample]` without NaN; None if all are NaN."""
    if np.isnan(values).all():
        return None
    low, high = np.nanquantile(values, [0.025, 0.975])
    return Interval(float(low), float(high))
