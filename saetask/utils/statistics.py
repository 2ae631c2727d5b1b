"""Intervals, paired comparisons, corrected p-values and smallest detectable differences.

Intervals are by bootstrap over whole groups of items; see `resampling`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from saetask.utils.resampling import (
    Bools,
    Floats,
    Interval,
    bootstrap_interval,
    group_indices,
)

ALPHA, POWER = 0.05, 0.8
"""Two-sided level of McNemar's test, and its power, for the smallest detectable difference."""


class Comparison(NamedTuple):
    """Accuracy on the same items before and after a change."""

    fixed: int
    """Number of items wrong before and right after."""
    broken: int
    """Number of items right before and wrong after."""
    difference: float
    """Accuracy after minus accuracy before, as a share of items."""
    ci95: Interval
    """Interval of the difference."""
    mcnemar_p: float
    """Exact two-sided p-value; takes items as independent, whatever their groups."""


def accuracy_interval(
    correct: Bools, groups: Sequence[str], seed: int = 0, n_resamples: int = 2000
) -> Interval:
    """Returns the interval of the accuracy.

    Its width is 0 where nothing varies: a single group, or every item right (or wrong).

    Args:
        correct: Whether each item is right, `[item]`.
        groups: Group of each item, `[item]`.
        seed: Seed of the resamples.
        n_resamples: Number of resamples.

    Raises:
        ValueError: The lengths differ, there are no items, or `n_resamples` is below 1.
    """
    values = np.asarray(correct, dtype=bool).astype(float)
    return mean_interval(values, groups, seed, n_resamples)


def mean_interval(
    values: Floats, groups: Sequence[str], seed: int = 0, n_resamples: int = 2000
) -> Interval:
    """Returns the interval of a mean over items; see `accuracy_interval`.

    Args:
        values: One of each item, `[item]`.
        groups: Group of each item, `[item]`.
        seed: Seed of the resamples.
        n_resamples: Number of resamples.
    """
    indices = group_indices(groups, values)
    return bootstrap_interval(indices, lambda w: (w @ values) / w.sum(1), seed, n_resamples)


def compare(
    before: Bools, after: Bools, groups: Sequence[str], seed: int = 0, n_resamples: int = 2000
) -> Comparison:
    """Compares the accuracy on the same items before and after a change.

    The p-value is that of McNemar's test (1947) in its exact form, a sign test on the items that
    changed; it is 1 if none did.

    Args:
        before: Whether each item is right before, `[item]`.
        after: Whether each item is right after, `[item]`.
        groups: Group of each item, `[item]`.
        seed: Seed of the resamples.
        n_resamples: Number of resamples.

    Raises:
        ValueError: The lengths differ, there are no items, or `n_resamples` is below 1.
    """
    from scipy.stats import binomtest

    before, after = np.asarray(before, dtype=bool), np.asarray(after, dtype=bool)
    indices = group_indices(groups, before, after)
    fixed, broken = int((~before & after).sum()), int((before & ~after).sum())
    p_value = float(binomtest(fixed, fixed + broken).pvalue) if fixed + broken else 1.0
    changes = after.astype(float) - before
    interval = bootstrap_interval(indices, lambda w: (w @ changes) / w.sum(1), seed, n_resamples)
    return Comparison(fixed, broken, (fixed - broken) / len(before), interval, p_value)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Returns p-values adjusted by Holm's (1979) step-down procedure, under the same keys.

    Raises:
        ValueError: A p-value is not between 0 and 1.
    """
    if not all(0 <= p <= 1 for p in p_values.values()):
        raise ValueError(f"p-values must lie between 0 and 1, not {dict(p_values)}.")
    # The one of statsmodels collects garbage, which takes a third of a second beside a model.
    adjusted, highest = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def smallest_detectable_difference(n: int, discordant_share: float) -> float:
    """Returns the smallest paired difference that McNemar's test detects with power `POWER`.

    It solves `d sqrt(n) = z_{1-alpha/2} sqrt(p_d) + z_{power} sqrt(p_d - d^2)` for d, where p_d is
    the share of items that change (Miettinen 1968; Connor 1987, Biometrics 43:207). A difference d
    needs p_d >= d; if the solution is larger than p_d, the equation is solved with p_d = d.

    Args:
        n: Number of items answered both before and after.
        discordant_share: p_d, from 0 to 1.

    Returns:
        A share of items; infinity if n is too small to detect any difference (below 4).

    Raises:
        ValueError: An argument is out of its range.
    """
    from scipy.stats import norm

    if n < 1 or not 0 <= discordant_share <= 1:
        raise ValueError(f"Out of range: {n=}, {discordant_share=}.")
    z_alpha, z_power = float(norm.isf(ALPHA / 2)), float(norm.ppf(POWER))
    if n <= z_alpha**2:
        return math.inf
    # Both cases are one quadratic: u sqrt(n) = z_alpha + z_power sqrt(1 - u^2), in
    # u = d / sqrt(p_d) for a given p_d and in u = sqrt(d) for p_d = d.
    root = z_power * math.sqrt(n + z_power**2 - z_alpha**2)
    u = (z_alpha * math.sqrt(n) + root) / (n + z_power**2)
    return u * max(math.sqrt(discordant_share), u)
