"""Areas under the ROC curve, with intervals over resampled groups of items."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from saetask.utils.resampling import (
    Bools,
    Floats,
    Interval,
    Ints,
    group_indices,
    interval_of,
    resampled_values,
)


class Auroc(NamedTuple):
    """Area under the ROC curve, over n items."""

    value: float
    ci95: Interval | None
    """None if no resample has every class, for example if each class is in one group only."""
    n: int


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
    indices = group_indices(groups, labels, scores)
    if labels.all() or not labels.any():
        return None
    value = float(roc_auc_score(labels, scores))
    areas = resampled_values(
        indices, lambda w: _weighted_aurocs(labels, scores, w), seed, n_resamples
    )
    return Auroc(value, interval_of(areas), len(labels))


def macro_auroc(
    labels: Sequence[str],
    probabilities: Mapping[str, Floats],
    groups: Sequence[str],
    seed: int = 0,
    n_resamples: int = 1000,
    minus: Mapping[str, Floats] | None = None,
) -> Auroc | None:
    """Returns the mean over classes of the area under the curve, each class against the rest.

    Args:
        labels: Class of each item, `[item]`.
        probabilities: Probabilities `[item]` of each class that occurs.
        groups: Group of each item, `[item]`.
        seed: Seed of the resamples.
        n_resamples: Number of resamples; those that lack a class are left out of the interval.
        minus: Probabilities by another probe, whose area is subtracted in each resample.

    Returns:
        The mean area, or the difference; None if there are fewer than two classes.
    """
    if len(set(labels)) < 2:
        return None
    probes = [probabilities] if minus is None else [probabilities, minus]
    columns = [column for probe in probes for column in probe.values()]
    indices = group_indices(groups, np.asarray(labels), *columns)
    areas = [_mean_area(labels, probe) for probe in probes]

    def statistic(weights: Ints) -> Floats:
        return areas[0](weights) - sum(area(weights) for area in areas[1:])

    value = float(statistic(np.ones((1, len(indices)), dtype=int))[0])
    values = resampled_values(indices, statistic, seed, n_resamples)
    return Auroc(value, interval_of(values), len(indices))


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
