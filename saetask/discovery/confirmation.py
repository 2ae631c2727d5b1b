"""Testing each chosen hypothesis once, on the confirmation half."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.discovery.score_tests import (
    AdjustedFailures,
    benjamini_hochberg,
    permutation_p_values,
    residuals,
)
from saetask.utils.resampling import Interval, interval_of, resampled_values

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64

N_PERMUTATIONS, N_RESAMPLES = 1_999, 1_000


class Tests(NamedTuple):
    """Tests of the chosen hypotheses, given the confounders."""

    p_values: "Float64[np.ndarray, ' m']"
    q_values: "Float64[np.ndarray, ' m']"
    """P-values adjusted by Benjamini and Hochberg's procedure."""


class Difference(NamedTuple):
    """How much more the model fails where a hypothesis is present."""

    n_with: int
    failure_with: float | None
    """None where no prompt has it, and likewise below."""
    failure_without: float | None
    difference: float | None
    ci95: Interval | None
    adjusted_difference: float | None
    """Given the confounders."""
    adjusted_ci95: Interval | None


def tested(
    presence: "Bool[np.ndarray, 'n m']",
    adjusted: AdjustedFailures,
    generator: np.random.Generator,
    n_permutations: int = N_PERMUTATIONS,
) -> Tests:
    """Tests whether the model fails more often where each hypothesis is present.

    Args:
        presence: Presence of each, on the confirmation half.
        adjusted: The failures there.
        generator: Source of randomness.
        n_permutations: Number of permutations.
    """
    if not presence.shape[1]:
        return Tests(np.empty(0), np.empty(0))
    p_values = permutation_p_values(presence.astype(float), adjusted, generator, n_permutations)
    return Tests(p_values, benjamini_hochberg(p_values))


def differences(
    presence: "Bool[np.ndarray, 'n m']",
    failures: "Float64[np.ndarray, ' n']",
    adjusted: AdjustedFailures,
    seed: int,
    n_resamples: int = N_RESAMPLES,
) -> list[Difference]:
    """Returns the failure rates with and without each hypothesis, with group-bootstrap intervals.

    There is no interval where all prompts with a hypothesis failed, or all did not, and likewise
    without: a bootstrap would give one that is too narrow.

    The adjusted difference is the coefficient of presence in the linear model of the confounders;
    in resamples, what the confounders explain is not fitted anew.

    Args:
        presence: Presence of each, on the confirmation half.
        failures: The failures there, from 0 to 1.
        adjusted: The same, less what confounders explain.
        seed: Seed of the resamples.
        n_resamples: Number of resamples.
    """
    if not presence.shape[1]:
        return []
    there, left = presence.astype(float), residuals(presence.astype(float), adjusted.basis)

    def statistic(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            failed = weights * failures
            n_with, failed_with = weights @ there, failed @ there
            n_without = weights.sum(1, keepdims=True) - n_with
            failed_without = failed.sum(1, keepdims=True) - failed_with
            raw = failed_with / n_with - failed_without / n_without
            given = (weights * adjusted.residual) @ left / (weights @ left**2)
        return np.stack([raw, given], axis=1)

    values = resampled_values(adjusted.groups, statistic, seed, n_resamples)
    whole = statistic(np.ones((1, len(failures))))[0]
    return [
        _difference(there[:, i] > 0, failures, whole[:, i], values[:, :, i])
        for i in range(presence.shape[1])
    ]


def _difference(
    there: "Bool[np.ndarray, ' n']",
    failures: "Float64[np.ndarray, ' n']",
    whole: "Float64[np.ndarray, '2']",
    resampled: "Float64[np.ndarray, 'r 2']",
) -> Difference:
    n_with = int(there.sum())
    if n_with in (0, len(there)):
        mean = float(failures.mean())
        rates = (mean, None) if n_with else (None, mean)
        return Difference(n_with, rates[0], rates[1], None, None, None, None)
    # Resamples of a part whose failures are all alike have no spread.
    has_spread = all(np.ptp(failures[part]) > 0 for part in (there, ~there))
    return Difference(
        n_with,
        float(failures[there].mean()),
        float(failures[~there].mean()),
        float(whole[0]),
        interval_of(resampled[:, 0]) if has_spread else None,
        float(whole[1]) if np.isfinite(whole[1]) else None,
        interval_of(resampled[:, 1]) if has_spread else None,
    )
