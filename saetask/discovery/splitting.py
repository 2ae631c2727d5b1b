"""Halves of a log: one to find hypotheses on, one to test them on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.utils.resampling import group_indices

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64


class Halves(NamedTuple):
    """Indices of the prompts of both halves, ascending; no group is in both."""

    discovery: "Int64[np.ndarray, ' n_discovery']"
    confirmation: "Int64[np.ndarray, ' n_confirmation']"


def split(
    failures: "Float64[np.ndarray, ' n']", groups: Sequence[str], share: float, seed: int
) -> Halves:
    """Splits prompts by group into two parts with about the same failure rate.

    Groups in the order of their failure rate, those of one rate at random, are dealt to the two
    parts in turn, so that each gets its share of prompts at every rate.

    Args:
        failures: Failure of each prompt, from 0 to 1.
        groups: Group of each prompt.
        share: Share of the prompts to find hypotheses on.
        seed: Seed of the order.
    """
    numbers = group_indices(groups, failures)
    sizes = np.bincount(numbers)
    rates = np.bincount(numbers, failures) / sizes
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    order = shuffled[np.argsort(rates[shuffled], kind="stable")]
    wanted = share * np.cumsum(sizes[order])
    dealt, given = np.zeros(len(sizes), dtype=bool), 0
    for place, group in enumerate(order.tolist()):
        if given + sizes[group] / 2 <= wanted[place]:
            dealt[group] = True
            given += int(sizes[group])
    chosen = dealt[numbers]
    return Halves(np.flatnonzero(chosen), np.flatnonzero(~chosen))
