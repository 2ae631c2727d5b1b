"""What tests of features share: how few texts are too few, and the correction for many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

FEWEST_TEXTS = 6
"""With fewer no paired test can reach significance either way (2 / 2^5 > 0.05)."""


@dataclass(frozen=True)
class Untested:
    """A test that could not be had."""

    reason: str


class Tested(Protocol):
    """A test that was had."""

    @property
    def p_value(self) -> float: ...


def corrected(results: "Sequence[Tested | Untested]") -> list[float]:
    """Returns the p-value of each result, corrected over those tested; 1 for the others.

    The correction is Benjamini & Hochberg's (1995).
    """
    from scipy.stats import false_discovery_control

    p_values = {i: r.p_value for i, r in enumerate(results) if not isinstance(r, Untested)}
    found = np.ones(len(results))
    if p_values:
        found[list(p_values)] = false_discovery_control(list(p_values.values()), method="bh")
    return found.tolist()
