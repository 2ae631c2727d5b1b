"""How sure the figures are: intervals, paired comparisons, corrected p-values, detectable effects.

Items that belong together (one source text, one template) are not independent, so every interval
here is a percentile bootstrap that draws whole groups (Efron & Tibshirani 1993, chapter 13). Where
each item is its own group, that is the ordinary bootstrap. The same seed gives the same interval.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.integer]
Floats = NDArray[np.floating]
BLOCK = 100  # resamples held in memory at a time; the results do not depend on it


class Interval(NamedTuple):
    """A 95 % interval, both ends included."""

    low: float
    high: float


class Comparison(NamedTuple):
    """The same items answered before and after a change."""

    fixed: int  # wrong before and right after
    broken: int  # right before and wrong after
    difference: float  # accuracy after minus accuracy before, as a share of items
    ci95: Interval
    mcnemar_p: float  # exact and two-sided; takes items as independent, whatever their groups


class Auroc(NamedTuple):
    """Area under the ROC curve, over n items."""

    value: float
    ci95: Interval | None
    """None where no resample held every class, as of classes that stand in one group each."""
    n: int


def accuracy_interval(
    correct: Bools, groups: Sequence[str], seed: int = 0, n_resamples: int = 2000
) -> Interval:
    """Returns the interval of the share of correct items, `correct` and `groups` being `[item]`.

    It has no width where nothing varies: a single group, or every item right (or wrong).

    Raises:
        ValueError: The lengths differ, there are no items, or `n_resamples` is below 1.
    """
    values = np.asarray(correct, dtype=bool).astype(float)
    indices = _group_indices(groups, values)
    return _bootstrap(indices, lambda w: (w @ values) / w.sum(1), seed, n_resamples)


def compare(
    before: Bools, after: Bools, groups: Sequence[str], seed: int = 0, n_resamples: int = 2000
) -> Comparison:
    """Compares two sets of answers, correct or not, to the same items; all arrays are `[item]`.

    The p-value is McNemar's (1947) in its exact form: a sign test on the items that changed; it
    is 1 when none did. The interval is that of the paired difference.

    Raises:
        ValueError: The lengths differ, there are no items, or `n_resamples` is below 1.
    """
    from scipy.stats import binomtest

    before, after = np.asarray(before, dtype=bool), np.asarray(after, dtype=bool)
    indices = _group_indices(groups, before, after)
    fixed, broken = int((~before & after).sum()), int((before & ~after).sum())
    p_value = float(binomtest(fixed, fixed + broken).pvalue) if fixed + broken else 1.0
    changes = after.astype(float) - before
    interval = _bootstrap(indices, lambda w: (w @ changes) / w.sum(1), seed, n_resamples)
    return Comparison(fixed, broken, (fixed - broken) / len(before), interval, p_value)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Returns p-values adjusted by Holm's (1979) step-down procedure, under the same keys.

    The i-th smallest of m p-values is multiplied by m - i + 1, capped at 1, and made no smaller
    than the adjusted ones before it.

    Raises:
        ValueError: A p-value is not between 0 and 1.
    """
    if not all(0 <= p <= 1 for p in p_values.values()):
        raise ValueError(f"p-values must lie between 0 and 1, not {dict(p_values)}.")
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def auroc(
    labels: Bools, scores: Floats, groups: Sequence[str], seed: int = 0, n_resamples: int = 1000
) -> Auroc | None:
    """Returns how well scores rank true items above false ones, or None with one class only.

    `labels`, `scores` (higher means true) and `groups` are `[item]`. Resamples that hold one class
    are left out of the interval; where all do, there is none.

    Raises:
        ValueError: The lengths differ, there are no items, a score is not finite, or `n_resamples`
            is below 1.
    """
    from sklearn.metrics import roc_auc_score

    labels, scores = np.asarray(labels, dtype=bool), np.asarray(scores, dtype=float)
    indices = _group_indices(groups, labels, scores)
    if labels.all() or not labels.any():
        return None
    value = float(roc_auc_score(labels, scores))
    areas = _resampled(indices, lambda w: _weighted_aurocs(labels, scores, w), seed, n_resamples)
    return Auroc(value, _interval(areas), len(labels))


def macro_auroc(
    outcomes: Sequence[str],
    probabilities: Mapping[str, Floats],
    groups: Sequence[str],
    seed: int = 0,
    n_resamples: int = 1000,
) -> Auroc | None:
    """Returns the mean over classes of the area under the curve, each class against the rest.

    Args:
        outcomes: The class of each item, `[item]`.
        probabilities: Of each class that occurs, `[item]`.
        groups: `[item]`.
        seed: Seed of the resamples.
        n_resamples: How many; those that lack a class are left out, and where all do there is no
            interval.

    Returns:
        None where there are fewer than two classes.
    """
    classes = sorted(set(outcomes))
    if len(classes) < 2:
        return None
    labels = {name: np.array([outcome == name for outcome in outcomes]) for name in classes}
    scores = {name: np.asarray(probabilities[name], dtype=float) for name in classes}
    indices = _group_indices(groups, *labels.values(), *scores.values())

    def mean_area(weights: Ints) -> Floats:
        areas = [_weighted_aurocs(labels[name], scores[name], weights) for name in classes]
        return np.mean(areas, axis=0)

    value = float(mean_area(np.ones((1, len(outcomes)), dtype=int))[0])
    areas = _resampled(indices, mean_area, seed, n_resamples)
    return Auroc(value, _interval(areas), len(outcomes))


def smallest_detectable_difference(
    n: int, discordant_share: float, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Returns the smallest paired difference that McNemar's test could have shown with n items.

    It solves `d sqrt(n) = z_{1-alpha/2} sqrt(p_d) + z_{power} sqrt(p_d - d^2)` for d, where p_d is
    the share of items that change (Miettinen 1968; Connor 1987, Biometrics 43:207). A difference d
    needs p_d >= d; where too few items change for any to show, it is solved with p_d = d.

    Args:
        n: Items answered both before and after.
        discordant_share: p_d, from 0 to 1.
        alpha: Two-sided level of the test.
        power: Chance of finding such a difference, from 0.5 to below 1.

    Returns:
        A share of items; infinity where n is too small for any to show (below 4 at alpha = 0.05).

    Raises:
        ValueError: An argument is out of its range.
    """
    from scipy.stats import norm

    if n < 1 or not 0 <= discordant_share <= 1 or not 0 < alpha < 1 or not 0.5 <= power < 1:
        raise ValueError(f"Out of range: {n=}, {discordant_share=}, {alpha=}, {power=}.")
    z_alpha, z_power = float(norm.isf(alpha / 2)), float(norm.ppf(power))
    if n <= z_alpha**2:
        return math.inf
    # Both cases are one quadratic: u sqrt(n) = z_alpha + z_power sqrt(1 - u^2), in
    # u = d / sqrt(p_d) for a given p_d and in u = sqrt(d) for p_d = d.
    root = z_power * math.sqrt(n + z_power**2 - z_alpha**2)
    u = (z_alpha * math.sqrt(n) + root) / (n + z_power**2)
    return u * max(math.sqrt(discordant_share), u)


def _group_indices(groups: Sequence[str], *columns: NDArray) -> Ints:
    """Returns each item's group as a number from 0, having checked that all columns fit."""
    shapes = [column.shape for column in columns]
    if not len(groups) or set(shapes) != {(len(groups),)}:
        raise ValueError(f"{len(groups)} groups for arrays of shape {shapes}; need as many, not 0.")
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups])


def _bootstrap(
    indices: Ints, statistic: Callable[[Ints], Floats], seed: int, n_resamples: int
) -> Interval:
    """Returns the interval of a statistic that every resample has; see `_resampled`."""
    found = _interval(_resampled(indices, statistic, seed, n_resamples))
    assert found is not None
    return found


def _resampled(
    indices: Ints, statistic: Callable[[Ints], Floats], seed: int, n_resamples: int
) -> Floats:
    """Resamples groups; `statistic` maps item weights `[resample, item]` to values `[resample]`."""
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, not {n_resamples}.")
    rng, n_groups = np.random.default_rng(seed), int(indices.max()) + 1
    shares = np.full(n_groups, 1 / n_groups)
    sizes = [min(BLOCK, n_resamples - start) for start in range(0, n_resamples, BLOCK)]
    counts = (rng.multinomial(n_groups, shares, size) for size in sizes)
    return np.concatenate([statistic(block[:, indices]) for block in counts])


def _interval(values: Floats) -> Interval | None:
    """Returns the interval of `values` `[resample]`, NaN left out; None where there is no other."""
    if np.isnan(values).all():
        return None
    low, high = np.nanquantile(values, [0.025, 0.975])
    return Interval(float(low), float(high))


def _weighted_aurocs(labels: Bools, scores: Floats, weights: Ints) -> Floats:
    """Returns the AUROC under each row of `weights` `[resample, item]`; NaN with one class only.

    The area is the Mann-Whitney statistic over its maximum. One sort serves every resample, since
    drawing items again changes their weights and not their order.
    """
    order = np.argsort(scores, kind="stable")
    _, starts = np.unique(scores[order], return_index=True)
    positive = np.add.reduceat((weights * labels)[:, order], starts, axis=1)
    negative = np.add.reduceat((weights * ~labels)[:, order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2  # a tie counts half
    with np.errstate(invalid="ignore"):
        return (positive * below).sum(1) / (positive.sum(1) * negative.sum(1))
