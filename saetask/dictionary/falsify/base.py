"""What tests of features share: how few texts are too few, and the correction for many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    pass

MIN_TEXTS = 6
"""With fewer no paired test can reach significance either way (2 / 2^5 > 0.05)."""


@dataclass(frozen=True)
class SkippedTest:
    """A test that could not be had."""

    reason: str


class CompletedTest(Protocol):
    """A test that was had."""

    @property
    def p_value(self) -> float: ...


def correct_p_values(results: "Sequence[CompletedTest | SkippedTest]") -> list[float]:
    """Returns the p-value of each result, corrected over those tested; 1 for the others.

    The correction is Benjamini & Hochberg's (1995).
    """
    from scipy.stats import false_discovery_control

    p_values = {i: r.p_value for i, r in enumerate(results) if not isinstance(r, SkippedTest)}
    found = np.ones(len(results))
    if p_values:
        found[list(p_values)] = false_discovery_control(list(p_values.values()), method="bh")
    return found.tolist()


@dataclass(frozen=True)
class FalsifyConfig:
    """What is tried, on what."""

    features: tuple[int, ...]
    texts: int = 24
    """Texts of each kind (the feature is silent, it fires) to use for a feature, at most."""
    data: str | None = None
    """A file of texts; None takes the contexts that the dictionary holds."""
    seed: int = 0
