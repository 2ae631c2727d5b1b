"""Logistic probes on the k inputs that tell a class best: k-sparse probing.

Gurnee et al. 2023, arXiv 2305.01610; as in SAEBench, Karvonen et al. 2025, arXiv 2503.09532.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

Inputs = Any
"""`[item, input]`: an `np.ndarray` of neurons, a `csr_matrix` of features."""
DENSE_NORM = 10.0
"""Mean squared norm of an item's inputs in the probe on all of them, whose penalty it sets."""


def probe_decisions(
    fit: Inputs, positive: np.ndarray, held_out: Inputs, ks: Sequence[int | None]
) -> Iterator[np.ndarray]:
    """Fits a probe for each k on the k inputs whose class means differ most.

    Args:
        fit: The inputs that are fitted and chosen on, `[n_fit, n_inputs]`.
        positive: Which of these are of the class, bool `[n_fit]`.
        held_out: Inputs to judge, `[n, n_inputs]`.
        ks: Numbers of inputs; None takes all.

    Yields:
        For each k, the log-odds of the class in what is held out, `[n]`; zeros where all or none
        of the fitted ones are of the class.
    """
    from sklearn.linear_model import LogisticRegression

    if positive.all() or not positive.any():
        yield from (np.zeros(held_out.shape[0]) for _ in ks)
        return
    mean, deviation, contrast = class_contrast(fit, positive)
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


def ranks(decided: np.ndarray) -> np.ndarray:
    """Returns ranks above 0 to 1: decisions of probes of different folds have no common scale."""
    from scipy.stats import rankdata

    return rankdata(decided) / len(decided)


class Contrast(NamedTuple):
    """How a class differs from the rest, input by input."""

    mean: np.ndarray
    """Of each input, `[input]`."""
    deviation: np.ndarray
    """Standard deviation of each input within the classes, `[input]`, above 0."""
    contrast: np.ndarray
    """Difference of the class means in standard deviations, `[input]`."""


def class_contrast(inputs: Inputs, positive: np.ndarray) -> Contrast:
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
    return Contrast(mean, deviation, (means[0] - means[1]) / deviation)


def _dense(inputs: Inputs) -> np.ndarray:
    return inputs if isinstance(inputs, np.ndarray) else inputs.toarray()
