"""Score tests of presence against failure, given confounders: one-sided, robust, by group.

The statistic is that of a linear model in which confounders come first: with what they leave of
the failures, r, and of a column's presence, z, it is `sum(z r)` over its standard error
`sqrt(sum over groups of (sum of z r in the group)^2)` (White 1980; Liang & Zeger 1986).
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Int64

PERMUTATIONS_AT_A_TIME = 256
"""Bounds memory; results do not depend on it."""
NOTHING = 1e-9
"""A share of a column's variation that is rounding error."""


class AdjustedFailures(NamedTuple):
    """Failures of some prompts, less what confounders explain of them."""

    basis: "Float64[np.ndarray, 'n k']"
    """Orthonormal columns that span the confounders and the constant."""
    residual: "Float64[np.ndarray, ' n']"
    groups: "Int64[np.ndarray, ' n']"
    """Number of each prompt's group, from 0."""


def adjust_failures(
    failures: "Float64[np.ndarray, ' n']",
    confounders: "Float64[np.ndarray, 'n k']",
    groups: "Int64[np.ndarray, ' n']",
) -> AdjustedFailures:
    """Returns failures less what a linear model of the confounders and a constant explains.

    Args:
        failures: 1 for a wrong answer, 0 for a right one, or a score between.
        confounders: They may depend on each other, or be constant.
        groups: Group of each prompt, as numbers.
    """
    design = np.column_stack([np.ones(len(failures)), confounders])
    scale = np.sqrt((design**2).mean(0))
    left, singular, _ = np.linalg.svd(design / np.where(scale > 0, scale, 1), full_matrices=False)
    basis = left[:, singular > 1e-8 * singular[0]]
    numbers = np.unique(groups, return_inverse=True)[1]
    return AdjustedFailures(basis, residuals(failures, basis), numbers)


def residuals(
    columns: "Float[np.ndarray, 'n ...']", basis: "Float64[np.ndarray, 'n k']"
) -> "Float[np.ndarray, 'n ...']":
    """Returns what an orthonormal basis leaves of columns; zero where it leaves rounding errors."""
    basis = basis.astype(columns.dtype, copy=False) if columns.dtype.kind == "f" else basis
    left = columns - basis @ (basis.T @ columns)
    size, whole = (left**2).sum(0), (columns**2).sum(0)
    return np.where(size > NOTHING * whole, left, 0)


def screening_statistics(
    presence: "Float[np.ndarray, 'n m']",
    basis: "Float64[np.ndarray, 'n k']",
    outcomes: "Float[np.ndarray, 'n r']",
) -> "Float[np.ndarray, 'm r']":
    """Returns the statistic of every column against each of several outcomes, prompts as groups.

    Args:
        presence: Presence of each hypothesis, before adjustment.
        basis: Of the confounders.
        outcomes: What the confounders leave of each outcome.
    """
    left = residuals(presence, basis)
    outcomes = outcomes.astype(left.dtype, copy=False)
    variance = (left**2).T @ outcomes**2
    return left.T @ outcomes / np.sqrt(np.where(variance > 0, variance, np.inf))


def statistics(
    left: "Float64[np.ndarray, 'n m']",
    residual: "Float64[np.ndarray, 'r n']",
    groups: "Int64[np.ndarray, ' n']",
) -> "Float64[np.ndarray, 'r m']":
    """Returns the statistic of every column against each of several outcomes.

    Args:
        left: What confounders leave of each column.
        residual: What they leave of each outcome.
        groups: Group of each prompt, as numbers.
    """
    if len(np.unique(groups)) == len(groups):
        variance = residual**2 @ left**2
    else:
        order = np.argsort(groups, kind="stable")
        starts = np.unique(groups[order], return_index=True)[1]
        sorted_left, sorted_residual = left[order], residual[:, order]
        sums = (
            np.add.reduceat(sorted_residual * column, starts, axis=1) for column in sorted_left.T
        )
        variance = np.stack([(each**2).sum(1) for each in sums], axis=1)
    return residual @ left / np.sqrt(np.where(variance > 0, variance, np.inf))


def permutation_p_values(
    presence: "Float64[np.ndarray, 'n m']",
    adjusted: AdjustedFailures,
    generator: np.random.Generator,
    n_permutations: int,
) -> "Float64[np.ndarray, ' m']":
    """Returns one-sided p-values of more failures where a hypothesis is present.

    What confounders leave of the failures is permuted and adjusted again (Freedman & Lane 1983);
    groups are permuted as blocks. The statistic is studentised, which keeps the test valid where
    groups differ in size or variance (DiCiccio & Romano 2017), and exact where prompts are
    exchangeable. The observed order is counted with the others (Phipson & Smyth 2010), so no
    p-value is 0.

    Args:
        presence: Presence of each hypothesis, before adjustment.
        adjusted: The failures.
        generator: Source of randomness.
        n_permutations: Number of random permutations.
    """
    basis, residual, groups = adjusted
    left = residuals(presence, basis)
    observed = statistics(left, residual[None], groups)[0] - NOTHING
    reached = np.ones(left.shape[1])
    for first in range(0, n_permutations, PERMUTATIONS_AT_A_TIME):
        n = min(PERMUTATIONS_AT_A_TIME, n_permutations - first)
        permuted = residuals(residual[block_permutations(groups, generator, n)].T, basis).T
        reached += (statistics(left, permuted, groups) >= observed).sum(0)
    return reached / (n_permutations + 1)


def block_permutations(
    groups: "Int64[np.ndarray, ' n']", generator: np.random.Generator, n_permutations: int
) -> "Int64[np.ndarray, 'r n']":
    """Returns permutations of prompts that move groups as blocks.

    The prompts of group after group, the groups in random order, take the places of the prompts of
    group after group in the given order. Where groups are of one size, groups change places whole.
    """
    places = np.argsort(groups, kind="stable")
    ranks = generator.random((n_permutations, int(groups.max()) + 1))[:, groups[places]]
    permuted = np.empty((n_permutations, len(groups)), dtype=np.int64)
    permuted[:, places] = places[np.argsort(ranks, axis=1, kind="stable")]
    return permuted


def benjamini_hochberg(p_values: "Float64[np.ndarray, ' m']") -> "Float64[np.ndarray, ' m']":
    """Returns p-values adjusted by Benjamini and Hochberg's (1995) procedure."""
    from scipy.stats import false_discovery_control

    return false_discovery_control(p_values) if len(p_values) else np.empty(0)
