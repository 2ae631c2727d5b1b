"""Intervals, paired comparisons, corrected p-values and smallest detectable differences.

Items of one group (one source text, one template) are not independent, so every interval here is a
percentile bootstrap over whole groups (Efron & Tibshirani 1993, chapter 13). If each item is its
own group, that is the ordinary bootstrap. The same seed gives the same interval.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.integer]
Floats = NDArray[np.floating]
BLOCK = 100
"""Resamples held in memory at a time; results do not depend on it."""
ALPHA, POWER = 0.05, 0.8
"""Two-sided level of McNemar's test, and its power, for the smallest detectable difference."""


class Interval(NamedTuple):
    """A 95 % interval, both ends included."""

    low: float
    high: float


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


class Auroc(NamedTuple):
    """Area under the ROC curve, over n items."""

    value: float
    ci95: Interval | None
    """None if no resample has every class, for example if each class is in one group only."""
    n: int


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
    indices = _group_indices(groups, values)
    return _bootstrap(indices, lambda w: (w @ values) / w.sum(1), seed, n_resamples)


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
    indices = _group_indices(groups, before, after)
    fixed, broken = int((~before & after).sum()), int((before & ~after).sum())
    p_value = float(binomtest(fixed, fixed + broken).pvalue) if fixed + broken else 1.0
    changes = after.astype(float) - before
    interval = _bootstrap(indices, lambda w: (w @ changes) / w.sum(1), seed, n_resamples)
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


def auroc(
    labels: Bools, scores: Floats, groups: Sequence[str], seed: int = 0, n_resamples: int = 1000
) -> Auroc | None:
    """Returns the area under the ROC curve of scores, or None if all labels are equal.

    Resamples with one class only are left out of the interval.

    Args:
        labels: Whether each item is positive, `[item]`.
        scores: Score of each item, higher for positive ones, `[item]`.
        groups: Group of each item, `[item]`.
        seed: Seed of the resamples.
        n_resamples: Number of resamples.

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
    labels: Sequence[str],
    probabilities: Mapping[str, Floats],
    groups: Sequence[str],
    seed: int = 0,
    n_resamples: int = 1000,
) -> Auroc | None:
    """Returns the mean over classes of the area under the curve, each class against the rest.

    Args:
        labels: Class of each item, `[item]`.
        probabilities: Probabilities `[item]` of each class that occurs.
        groups: Group of each item, `[item]`.
        seed: Seed of the resamples.
        n_resamples: Number of resamples; those that lack a class are left out of the interval.

    Returns:
        The mean area, or None if there are fewer than two classes.
    """
    if len(set(labels)) < 2:
        return None
    indices = _group_indices(groups, np.asarray(labels), *probabilities.values())
    return _auroc(indices, _mean_area(labels, probabilities), seed, n_resamples)


def macro_auroc_difference(
    labels: Sequence[str],
    probabilities: Mapping[str, Floats],
    others: Mapping[str, Floats],
    groups: Sequence[str],
    seed: int = 0,
    n_resamples: int = 1000,
) -> Auroc | None:
    """Returns how much larger the macro AUROC of one probe is than that of another, paired.

    Args:
        labels: Class of each item, `[item]`.
        probabilities: Probabilities `[item]` of each class that occurs, by the one probe.
        others: The same, by the other probe.
        groups: Group of each item, `[item]`.
        seed: Seed of the resamples.
        n_resamples: Number of resamples; those that lack a class are left out of the interval.

    Returns:
        The difference, or None if there are fewer than two classes.
    """
    if len(set(labels)) < 2:
        return None
    columns = [*probabilities.values(), *others.values()]
    indices = _group_indices(groups, np.asarray(labels), *columns)
    one, other = _mean_area(labels, probabilities), _mean_area(labels, others)
    return _auroc(indices, lambda weights: one(weights) - other(weights), seed, n_resamples)


def _mean_area(
    labels: Sequence[str], probabilities: Mapping[str, Floats]
) -> Callable[[Ints], Floats]:
    """Returns a function from item weights `[resample, item]` to macro AUROCs `[resample]`."""
    names = np.asarray(labels)
    classes = {name: np.asarray(probabilities[name], dtype=float) for name in sorted(set(labels))}
    return lambda weights: np.mean(
        [_weighted_aurocs(names == name, scores, weights) for name, scores in classes.items()],
        axis=0,
    )


def _auroc(
    indices: Ints, statistic: Callable[[Ints], Floats], seed: int, n_resamples: int
) -> Auroc:
    """Returns the value and the interval of a statistic that is NaN where a class is missing."""
    value = float(statistic(np.ones((1, len(indices)), dtype=int))[0])
    return Auroc(value, _interval(_resampled(indices, statistic, seed, n_resamples)), len(indices))


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


def _group_indices(groups: Sequence[str], *columns: NDArray) -> Ints:
    """Returns each item's group as a number from 0.

    Raises:
        ValueError: A column has another length than `groups`, or there are no items.
    """
    shapes = [column.shape for column in columns]
    if not len(groups) or set(shapes) != {(len(groups),)}:
        raise ValueError(f"{len(groups)} groups for arrays of shape {shapes}; need as many, not 0.")
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups])


def _bootstrap(
    indices: Ints, statistic: Callable[[Ints], Floats], seed: int, n_resamples: int
) -> Interval:
    """Returns the interval of a statistic that is defined for every resample; see `_resampled`."""
    interval = _interval(_resampled(indices, statistic, seed, n_resamples))
    assert interval is not None
    return interval


def _resampled(
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


def _interval(values: Floats) -> Interval | None:
    """Returns the interval of `values` `[resample]` without NaN; None if all are NaN."""
    if np.isnan(values).all():
        return None
    low, high = np.nanquantile(values, [0.025, 0.975])
    return Interval(float(low), float(high))


def _weighted_aurocs(labels: Bools, scores: Floats, weights: Ints) -> Floats:
    """Returns the AUROC under each row of `weights` `[resample, item]`; NaN with one class only.

    The area is the Mann-Whitney statistic over its maximum. Items are sorted once: resampling
    changes their weights and not their order.
    """
    order = np.argsort(scores, kind="stable")
    _, starts = np.unique(scores[order], return_index=True)
    positive = np.add.reduceat((weights * labels)[:, order], starts, axis=1)
    negative = np.add.reduceat((weights * ~labels)[:, order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2  # a tie counts half
    with np.errstate(invalid="ignore"):
        return (positive * below).sum(1) / (positive.sum(1) * negative.sum(1))
