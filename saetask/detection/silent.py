"""The detector of items whose readings have nothing in common: it finds nothing, and says why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saetask.detection.base import (
    DetectorInput,
    Finding,
    Misunderstanding,
    make_misunderstanding,
)
from saetask.detection.stacked_probe import answer_scores, known_readings


@dataclass
class SilentDetector:
    """Takes the probabilities of the model's own answer, whatever the features are."""

    silence: str
    """Why nothing can be found."""
    name = "silent"

    def fit(
        self, inputs: Sequence[DetectorInput], gold_readings: Sequence[str], groups: Sequence[str]
    ) -> list[Finding]:
        """Learns the names of the readings, and finds nothing."""
        self.readings = known_readings(gold_readings, groups)
        return [self.detect(each) for each in inputs]

    def detect(self, detector_input: DetectorInput) -> Finding:
        """Returns a finding without misunderstandings."""
        from scipy.special import softmax

        scores = answer_scores([detector_input], self.readings)[0]
        probabilities = dict(zip(self.readings, softmax(scores).tolist()))
        return Finding(1 - probabilities.get(detector_input.answer, 0.0), [], probabilities)

    def explain(self, detector_input: DetectorInput, reading: str) -> Misunderstanding:
        """Returns a misunderstanding without evidence."""
        return make_misunderstanding(self.name, detector_input, reading)

    def on_features(
        self,
        replacement: Mapping[int, int],
        inputs: Sequence[DetectorInput],
        gold_readings: Sequence[str],
    ) -> "SilentDetector":
        """Returns itself: there are no weights to move."""
        return self

    def feature_ids(self) -> np.ndarray:
        """Returns no feature."""
        return np.empty(0, dtype=np.int64)

    def summary(self) -> dict[str, Any]:
        """Returns nothing: nothing is chosen."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Returns the readings and the reason."""
        return {"silence": self.silence, "readings": list(self.readings)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over the readings and the reason."""
        self.silence, self.readings = state["silence"], list(state["readings"])
