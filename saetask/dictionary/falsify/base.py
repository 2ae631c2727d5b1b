"""Shared by all tests of features: configuration, skipped tests, correction of p-values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from saetask.dictionary.feature_card import FeatureCard

MIN_TEXTS = 6
"""With fewer texts no two-sided paired test can reach significance (2 / 2^5 > 0.05)."""
ALPHA = 0.05
HALF = 0.5
"""Share of texts by which findings are decided."""
NEVER_FIRED = "it never fired"


@dataclass(frozen=True)
class FalsifyConfig:
    """Which features are tested, and on which texts."""

    features: tuple[int, ...]
    """Numbers of the features to test."""
    texts: int = 24
    """Maximum number of texts of each kind (silent, firing) to use for a feature."""
    data: str | None = None
    """Texts to test on (.jsonl with a column text, or .txt); without it, the stored contexts."""
    seed: int = 0
    """Seed of texts, tokens and directions."""


class FeatureUnderTest(NamedTuple):
    """A feature to test."""

    column: int
    """Its number among the features of the configuration."""
    card: "FeatureCard"

    @property
    def feature(self) -> int:
        """Its number in the dictionary."""
        return self.card.row["feature"]


@dataclass(frozen=True)
class SkippedTest:
    """A test that could not be run."""

    reason: str


class CompletedTest(Protocol):
    """A test that was run."""

    @property
    def p_value(self) -> float: ...


def correct_p_values(results: Sequence[CompletedTest | SkippedTest]) -> list[float]:
    """Returns the p-value of each result, corrected over the tests that were run; 1 for others.

    The correction is Benjamini & Hochberg's (1995).
    """
    from scipy.stats import false_discovery_control

    p_values = {i: r.p_value for i, r in enumerate(results) if not isinstance(r, SkippedTest)}
    q_values = np.ones(len(results))
    if p_values:
        q_values[list(p_values)] = false_discovery_control(list(p_values.values()), method="bh")
    return q_values.tolist()
