"""Detection: from a prompt's feature activations to the misunderstandings in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from saetask.activations import FeatureActivations
from saetask.prompts import Span

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class Evidence(NamedTuple):
    """A feature behind a finding."""

    id: int
    label: str
    activation: float
    """The feature's pooled activation in this prompt."""
    weight: float
    """What a unit of log(1 + activation) adds to the reading's log-odds."""


class Misunderstanding(NamedTuple):
    """A span that the model is predicted to misread."""

    detector: str
    span: Span
    """In the last message's content."""
    text: str
    reading: str
    """The reading that the features support, which the model's answer does not follow."""
    probability: float
    """Calibrated probability that the model's answer is wrong."""
    features: list[Evidence]


class Finding(NamedTuple):
    """A detector's judgement of one prompt."""

    failure: float
    """Calibrated probability that the model's answer is wrong."""
    misunderstandings: list[Misunderstanding]
    """What is misread, most probable first; empty when the answer agrees with the features."""


@dataclass(frozen=True)
class Reading:
    """What a detector sees of one prompt. It holds no gold answer, nor anything made from one."""

    activations: FeatureActivations
    """The prompt's feature activations (one prompt)."""
    content: str
    """The last message's content."""
    spans: Mapping[str, Span]
    """Named spans of the content."""
    answer_scores: Mapping[str, float]
    """The model's own log-probability of each reading, from its answer to this prompt."""
    _pools: dict[str, Any] = field(default_factory=dict, repr=False)

    def pooled(self, region: str) -> "csr_matrix":
        """Returns the largest activation of each feature in a region, `[1, d_sae]`."""
        if region not in self._pools:
            self._pools[region] = self.activations.pooled(region)
        return self._pools[region]

    @property
    def answer(self) -> str:
        """The reading that the model's answer stands for."""
        return max(self.answer_scores, key=self.answer_scores.__getitem__)


class Detector(Protocol):
    """What a detector plugin provides. It is fitted on the fit split and nothing else."""

    name: str

    def fit(
        self, readings: Sequence[Reading], outcomes: Sequence[str], groups: Sequence[str]
    ) -> list[Finding]:
        """Learns from prompts whose right reading is known.

        Args:
            readings: The fit split.
            outcomes: The right reading of each.
            groups: Near-duplicates share a group; inner splits must not cut through one.

        Returns:
            What it finds in each of these prompts when that prompt's group is held out.
        """
        ...

    def detect(self, reading: Reading) -> Finding:
        """Judges one prompt."""
        ...

    def on_features(
        self, replacement: Mapping[int, int], readings: Sequence[Reading], outcomes: Sequence[str]
    ) -> "Detector":
        """Returns the same detector with its weights on other features, calibrated anew.

        This is the `random-feature` control.
        """
        ...

    def feature_ids(self) -> np.ndarray:
        """Returns the features that it uses, ascending."""
        ...

    def summary(self) -> dict[str, Any]:
        """Returns what the fit chose, as JSON, for the report."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Returns what was learnt, as JSON values and numpy arrays."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what another instance learnt."""
        ...
