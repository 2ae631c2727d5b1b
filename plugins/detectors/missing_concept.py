"""The concept that a prompt's features show, against the one that the model's answer needs."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np

from saetask.detection import (
    CHANCE,
    NO_SIGNAL,
    DetectorInput,
    Evidence,
    Finding,
    Misunderstanding,
    answer_scores,
    fit_stack,
    known_readings,
    labels_of,
    log_activations,
    make_findings,
    make_misunderstanding,
)

from .signatures import SIZES, Signatures, choose_size, fit_signatures, strongest_evidence

NAMED_FEATURES = 5
SILENT_FEATURES = 2
"""Features of the answer's concept that are named because they do not fire."""


class MissingConcept:
    """Finds prompts in which the concept of the model's answer is weaker than another one.

    Every reading is a concept (an operation, a sense), and its signature the features that its
    prompts have more of than the others'. A prompt shows a concept as strongly as the signature's
    log-activations sum up to over the text, in standard deviations of the fit split. `fit_stack`
    joins these scores with the model's own answer into probabilities.
    """

    name = "missing-concept"

    def __init__(self) -> None:
        self.readings: list[str] = []
        self.size = 0
        self.signatures = Signatures("text", np.empty(0, np.int64), np.empty((0, 0)))
        self.means = np.empty(0)
        """Of each signature's sum over the fit split, `[class]`."""
        self.deviations = np.empty(0)
        self.stack = np.empty(0)

    def fit(
        self, inputs: Sequence[DetectorInput], gold_readings: Sequence[str], groups: Sequence[str]
    ) -> list[Finding]:
        """Fits signatures and calibration; see the class."""
        self.readings = known_readings(gold_readings, groups)
        labels = labels_of(gold_readings, self.readings)

        def log_odds(fit: np.ndarray, held_out: np.ndarray, size: int) -> np.ndarray:
            part = MissingConcept()
            part._learn([inputs[i] for i in fit], labels[fit], size)
            return part._scores([inputs[i] for i in held_out])

        self.size, held_out = choose_size(labels, groups, log_odds)
        self._learn(inputs, labels, self.size)
        answers = answer_scores(inputs, self.readings)
        self.stack = fit_stack(held_out, answers, labels, CHANCE / len(SIZES))
        return make_findings(inputs, self.readings, self.stack, held_out, answers, self.explain)

    def _learn(self, inputs: Sequence[DetectorInput], labels: np.ndarray, size: int) -> None:
        self.signatures = fit_signatures(inputs, labels, "text", size, signed=False)
        self._standardise(inputs)

    def _standardise(self, inputs: Sequence[DetectorInput]) -> None:
        sums = self._sums(inputs)
        self.means, deviations = sums.mean(axis=0), sums.std(axis=0)
        self.deviations = np.where(deviations > 0, deviations, 1.0)

    def _sums(self, inputs: Sequence[DetectorInput]) -> np.ndarray:
        """Returns the sum of each signature's log-activations, `[n, class]`."""
        rows = log_activations(inputs, "text")[:, self.signatures.features]
        return rows @ self._members().T

    def _scores(self, inputs: Sequence[DetectorInput]) -> np.ndarray:
        """Returns how strongly each concept shows, in standard deviations, `[n, class]`."""
        return (self._sums(inputs) - self.means) / self.deviations

    def _members(self) -> np.ndarray:
        """Returns which features are in which signature: 1 or 0, `[class, m]`."""
        return (self.signatures.contrasts > 0).astype(float)

    def detect(self, detector_input: DetectorInput) -> Finding:
        """Finds a misunderstanding where another concept is more probable than the answer's."""
        scores = self._scores([detector_input])
        answers = answer_scores([detector_input], self.readings)
        return make_findings(
            [detector_input], self.readings, self.stack, scores, answers, self.explain
        )[0]

    def explain(self, detector_input: DetectorInput, reading: str) -> Misunderstanding:
        """Names features of the reading's concept that fire, then silent ones of the answer's.

        The latter have an activation of zero and, where they would speak for the answer, a weight
        below zero.
        """
        chosen = self.readings.index(reading)
        row = log_activations([detector_input], "text")[:, self.signatures.features].toarray()[0]
        shares = self._members() / self.deviations[:, None]
        weights = shares[chosen] - np.delete(shares, chosen, axis=0).mean(0)
        weights = weights * self.stack[0]
        firing = strongest_evidence(self.signatures.features, row, weights, NAMED_FEATURES)
        answer = detector_input.answer
        silent = self._silent(row, weights, answer) if answer != reading else []
        return make_misunderstanding(self.name, detector_input, reading, [*firing, *silent])

    def _silent(self, row: np.ndarray, weights: np.ndarray, expected: str) -> list[Evidence]:
        """Names the features most typical of a concept that do not fire."""
        if expected not in self.readings:
            return []
        typical = self.signatures.contrasts[self.readings.index(expected)]
        order = np.argsort(-typical, kind="stable")
        missing = order[(row[order] == 0) & (typical[order] > 0) & (weights[order] < 0)]
        return [
            Evidence(int(self.signatures.features[i]), "", 0.0, float(weights[i]))
            for i in missing[:SILENT_FEATURES]
        ]

    def feature_ids(self) -> np.ndarray:
        """Returns the features of every signature, ascending."""
        return np.unique(self.signatures.features)

    def on_features(
        self,
        replacement: Mapping[int, int],
        inputs: Sequence[DetectorInput],
        gold_readings: Sequence[str],
    ) -> "MissingConcept":
        """Returns a copy with its signatures on other features and its calibration fitted anew."""
        moved = copy(self)
        moved.signatures = self.signatures.moved(replacement)
        moved._standardise(inputs)
        answers = answer_scores(inputs, self.readings)
        labels = labels_of(gold_readings, self.readings)
        moved.stack = fit_stack(moved._scores(inputs), answers, labels)
        return moved

    def summary(self) -> dict[str, Any]:
        """Returns the signatures' size, and how much concepts and answer weigh in calibration."""
        return {
            "signature_size": self.size,
            "n_features": len(self.feature_ids()),
            "weight_of_concepts": float(self.stack[0]),
            "weight_of_answer": float(self.stack[1]),
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns every attribute, the signatures' under their own names."""
        state = {key: value for key, value in vars(self).items() if key != "signatures"}
        return state | self.signatures._asdict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over every attribute."""
        state = dict(state)
        self.signatures = Signatures(*(state.pop(name) for name in Signatures._fields))
        vars(self).update(state)

    @property
    def silence(self) -> str | None:
        """Why nothing can be found by the features; None where they predict something."""
        return NO_SIGNAL if len(self.stack) and self.stack[0] == 0 else None
