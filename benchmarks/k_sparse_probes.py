"""Probes on the k inputs that tell a class best, scored on groups that are held out.

Gurnee et al. 2023, arXiv 2305.01610; as in SAEBench, Karvonen et al. 2025, arXiv 2503.09532.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.probe_inputs import Inputs
from saetask.data.folds import stratified_splits

N_FOLDS, REPEATS = 5, 3
DENSE_NORM = 10.0
"""Mean squared norm of an item's inputs in the probe on all of them, whose penalty it sets."""


def probe_scores(
    inputs: Inputs,
    labels: Sequence[str],
    groups: Sequence[str],
    ks: Sequence[int | None],
    repeats: int = REPEATS,
) -> dict[int | None, dict[str, np.ndarray]]:
    """Returns held-out scores of probes on k inputs, for each class against the rest.

    Args:
        inputs: `[item, input]`.
        labels: Class of each item.
        groups: Group of each item; no group is on both sides of a split.
        ks: Numbers of inputs, chosen on each fold's training part; None takes all.
        repeats: Number of ways of splitting.

    Returns:
        By k and class, ranks within the fold from 0 to 1, `[repeats * item]`.
    """
    from scipy.stats import rankdata

    names = np.asarray(labels)
    classes = sorted(set(labels))
    scores = {k: {name: np.zeros((repeats, len(names))) for name in classes} for k in ks}
    for seed in range(repeats):
        for fit, held_out in stratified_splits(labels, groups, N_FOLDS, seed):
            for name in classes:
                decided = _decide(inputs[fit], names[fit] == name, inputs[held_out], ks)
                for k, values in zip(ks, decided):
                    scores[k][name][seed, held_out] = rankdata(values) / len(held_out)
    return {k: {name: r.reshape(-1) for name, r in own.items()} for k, own in scores.items()}


def _decide(
    fit: Inputs, positive: np.ndarray, held_out: Inputs, ks: Sequence[int | None]
) -> Iterator[np.ndarray]:
    """Fits a probe on k inputs for each k; yields decision values on what is held out."""
    from sklearn.linear_model import LogisticRegression

    if positive.all() or not positive.any():
        yield from (np.zeros(held_out.shape[0]) for _ in ks)
        return
    mean, deviation, contrast = _class_contrast(fit, positive)
    order = np.argsort(-np.abs(contrast), kind="stable")
    for k in ks:
        probe = LogisticRegression(max_iter=500)
        parts = fit, held_out
        if k is not None:
            own = order[:k]
            parts = [(_dense(part[:, own]) - mean[own]) / deviation[own] for part in parts]
        elif isinstance(fit, np.ndarray):
            parts = [(part - mean) / deviation for part in parts]
            probe.C = DENSE_NORM / fit.shape[1]
        else:  # rare features would weigh as much as the others, if they were standardised
            probe.C = DENSE_NORM / float(fit.multiply(fit).sum(1).mean())
        yield probe.fit(parts[0], positive).decision_function(parts[1])


class _Contrast(NamedTuple):
    mean: np.ndarray
    """Of each input, `[input]`."""
    deviation: np.ndarray
    """Standard deviation of each input within the classes, `[input]`, above 0."""
    contrast: np.ndarray
    """Difference of the class means in standard deviations, `[input]`."""


def _class_contrast(inputs: Inputs, positive: np.ndarray) -> _Contrast:
    """Compares the classes' means, input by input."""
    squares = inputs**2 if isinstance(inputs, np.ndarray) else inputs.multiply(inputs).tocsr()
    shares = np.stack([positive / positive.sum(), ~positive / (~positive).sum()])
    means = np.asarray(shares @ inputs)
    variances = np.maximum(np.asarray(shares @ squares) - means**2, 0)
    share = positive.mean()
    deviation = np.sqrt(share * variances[0] + (1 - share) * variances[1])
    # An input that is constant in each class, or nearly, would have an endless contrast.
    deviation = np.maximum(deviation, 1e-3 * np.abs(means).max(0) + 1e-12)
    mean = share * means[0] + (1 - share) * means[1]
    return _Contrast(mean, deviation, (means[0] - means[1]) / deviation)


def _dense(inputs: Inputs) -> np.ndarray:
    return inputs if isinstance(inputs, np.ndarray) else inputs.toarray()
