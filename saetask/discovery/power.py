"""Power: what difference a search could have seen."""

import math
from typing import NamedTuple

from saetask.discovery.selection import MOST_CHOSEN, SCREENING_Q, SHARES

WITH_SHARES = (0.5, 0.25, 0.1, 0.05, 0.02)
POWER = 0.8


class SmallestDifference(NamedTuple):
    """The smallest difference that is found with a probability of `POWER`."""

    share: float
    """Share of the prompts in which a hypothesis is present."""
    difference: float | None
    """Of failure rates, from 0 to 1; None where no possible difference is large enough."""


def smallest_differences(
    n_discovery: int, n_confirmation: int, failure_rate: float, n_hypotheses: int, q: float
) -> list[SmallestDifference]:
    """Returns the smallest difference that could have been seen, by the share of prompts with it.

    Of one hypothesis of a family in which no other is true, for the presence that the family has of
    it: a concept that is present in other prompts than those that fail shows a smaller difference.
    It has to pass the screening (Bonferroni over hypotheses and thresholds, at `SCREENING_Q`) and
    the confirmation among `MOST_CHOSEN` others, in each by a normal approximation with a power of
    `POWER`'s square root.

    Args:
        n_discovery: Number of prompts of the discovery half.
        n_confirmation: Number of prompts of the confirmation half.
        failure_rate: Share of failures among all prompts.
        n_hypotheses: Number of hypotheses of the family.
        q: False discovery rate of the confirmation.
    """
    levels = (SCREENING_Q / max(1, n_hypotheses * len(SHARES)), q / MOST_CHOSEN)
    return [
        SmallestDifference(
            share, _smallest(share, failure_rate, (n_discovery, n_confirmation), levels)
        )
        for share in WITH_SHARES
    ]


def _smallest(
    share: float, rate: float, sizes: tuple[int, int], levels: tuple[float, float]
) -> float | None:
    from scipy.stats import norm

    if not 0 < rate < 1:
        return None
    reach = float(norm.ppf(math.sqrt(POWER)))
    needed = max(
        (float(norm.isf(level)) + reach) / math.sqrt(n * share * (1 - share))
        for n, level in zip(sizes, levels)
        if n > 0
    )
    difference = needed * math.sqrt(rate * (1 - rate))
    # The rate with presence is rate + (1 - share) difference, and has to be a rate.
    return difference if rate + (1 - share) * difference <= 1 else None
