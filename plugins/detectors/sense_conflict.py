"""The sense that a word's context supports, against the sense in which the model holds it."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np

from saetask.detection import (
    CHANCE,
    NO_SIGNAL,
    DetectorInput,
    Finding,
    Misunderstanding,
    answer_scores,
    fit_stack,
    known_readings,
    labels_of,
    make_findings,
    make_misunderstanding,
    out_of_fold,
    stacked_probabilities,
)

from .signatures import SIZES, Signatures, calibrated_loss, choose_size, fit_signatures
from .span_overlap import SpanOverlap, fit_overlap

NAMED_FEATURES = 5
HELD_FEATURES = 2
"""Features at the answer that are named because they hold another sense."""


class SenseConflict:
    """Finds prompts whose target has the features of another sense than the model's answer.

    Each sense has a signature: the features on the target that set the prompts of this sense apart.
    The sense that the context supports is predicted from the cosine of a prompt with each
    signature; where a prompt has two spans to compare (`target` and `other`), from their
    similarity.

    The sense that the model holds is its answer, or the prediction from the features at the
    beginning of the answer, by signatures that are learnt from the model's own answers: whichever
    predicts the right reading clearly better beside the context. `fit_stack` joins the two into
    probabilities.
    """

    name = "sense-conflict"

    def __init__(self) -> None:
        self.readings: list[str] = []
        self.size = 0
        self.context: Signatures | SpanOverlap | None = None
        self.held: Signatures | None = None
        """None where the model's answer stands for the sense that it holds."""
        self.held_stack = np.empty(0)
        self.stack = np.empty(0)

    def fit(
        self, inputs: Sequence[DetectorInput], gold_readings: Sequence[str], groups: Sequence[str]
    ) -> list[Finding]:
        """Fits signatures and calibration; see the class."""
        self.readings = known_readings(gold_readings, groups)
        labels = labels_of(gold_readings, self.readings)
        supported = self._fit_context(inputs, labels, groups)
        held = self._fit_held(inputs, labels, groups, supported)
        n_settings = 2 * (len(SIZES) if self.size else 1)
        self.stack = fit_stack(supported, held, labels, CHANCE / n_settings)
        return make_findings(inputs, self.readings, self.stack, supported, held, self.explain)

    def _fit_context(
        self, inputs: Sequence[DetectorInput], labels: np.ndarray, groups: Sequence[str]
    ) -> np.ndarray:
        """Fits the predictor of the supported sense; returns out-of-fold log-odds, `[n, class]`."""
        regions = inputs[0].activations.prompts[0].regions
        if "target" in regions and "other" in regions:
            self.size, self.context = 0, fit_overlap(inputs, labels)

            def by_overlap(fit: np.ndarray, held_out: np.ndarray) -> np.ndarray:
                overlap = fit_overlap([inputs[i] for i in fit], labels[fit])
                return overlap.log_odds([inputs[i] for i in held_out])

            return out_of_fold(labels, groups, by_overlap)
        region = "target" if "target" in regions else "text"

        def by_signature(fit: np.ndarray, held_out: np.ndarray, size: int) -> np.ndarray:
            learnt = fit_signatures([inputs[i] for i in fit], labels[fit], region, size)
            return learnt.log_odds([inputs[i] for i in held_out])

        self.size, log_odds = choose_size(labels, groups, by_signature)
        self.context = fit_signatures(inputs, labels, region, self.size)
        return log_odds

    def _fit_held(
        self,
        inputs: Sequence[DetectorInput],
        labels: np.ndarray,
        groups: Sequence[str],
        supported: np.ndarray,
    ) -> np.ndarray:
        """Fits the predictor of the held sense; returns centred log-probabilities, `[n, class]`."""
        from scipy.stats import chi2

        self.held = None
        answers = answer_scores(inputs, self.readings)
        given = answers.argmax(axis=1)
        if len(np.unique(given)) < len(self.readings) or not _has_answer_tokens(inputs):
            return answers

        def by_signature(fit: np.ndarray, held_out: np.ndarray, size: int) -> np.ndarray:
            learnt = fit_signatures([inputs[i] for i in fit], given[fit], "answer", size)
            return learnt.log_odds([inputs[i] for i in held_out])

        size, log_odds = choose_size(given, groups, by_signature)
        self.held_stack = fit_stack(log_odds, np.zeros_like(log_odds), given)
        held = _held_scores(self.held_stack, log_odds)
        losses = [calibrated_loss(supported, scores, labels) for scores in (answers, held)]
        if 2 * len(labels) * (losses[0] - losses[1]) < chi2.isf(CHANCE / len(SIZES), 1):
            return answers
        self.held = fit_signatures(inputs, given, "answer", size)
        return held

    def detect(self, detector_input: DetectorInput) -> Finding:
        """Finds a misunderstanding where a reading is more probable than the model's own."""
        assert self.context is not None
        supported, held = self.context.log_odds([detector_input]), self._held([detector_input])
        return make_findings(
            [detector_input], self.readings, self.stack, supported, held, self.explain
        )[0]

    def _held(self, inputs: Sequence[DetectorInput]) -> np.ndarray:
        if self.held is None:
            return answer_scores(inputs, self.readings)
        return _held_scores(self.held_stack, self.held.log_odds(inputs))

    def explain(self, detector_input: DetectorInput, reading: str) -> Misunderstanding:
        """Names the features that support the reading, then those that hold another one.

        The latter are at the answer, and their weight is below zero.
        """
        assert self.context is not None
        chosen = self.readings.index(reading)
        named = self.context.evidence(detector_input, chosen, float(self.stack[0]), NAMED_FEATURES)
        if self.held is not None:
            scale = -float(self.stack[1] * self.held_stack[0])
            known = {evidence.id for evidence in named}
            named += [
                evidence._replace(weight=-evidence.weight)
                for evidence in self.held.evidence(detector_input, chosen, scale, HELD_FEATURES)
                if evidence.id not in known
            ]
        return make_misunderstanding(self.name, detector_input, reading, named)

    def feature_ids(self) -> np.ndarray:
        """Returns the features of every signature, ascending."""
        parts = [part.features for part in (self.context, self.held) if part is not None]
        return np.unique(np.concatenate(parts))

    def on_features(
        self,
        replacement: Mapping[int, int],
        inputs: Sequence[DetectorInput],
        gold_readings: Sequence[str],
    ) -> "SenseConflict":
        """Returns a copy with its signatures on other features and its calibration fitted anew."""
        assert self.context is not None
        moved = copy(self)
        moved.context = self.context.moved(replacement)
        if self.held is not None:
            moved.held = self.held.moved(replacement)
        supported, held = moved.context.log_odds(inputs), moved._held(inputs)
        moved.stack = fit_stack(supported, held, labels_of(gold_readings, self.readings))
        return moved

    def summary(self) -> dict[str, Any]:
        """Returns the predictors of the two senses and their weights in the calibration."""
        return {
            "context": "overlap" if isinstance(self.context, SpanOverlap) else "signatures",
            "held_by": "answer" if self.held is None else "features",
            "signature_size": self.size,
            "n_features": len(self.feature_ids()),
            "weight_of_context": float(self.stack[0]),
            "weight_of_held_sense": float(self.stack[1]),
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns every attribute, those of the signatures under dotted names."""
        state = {k: v for k, v in vars(self).items() if k not in ("context", "held")}
        for name, part in (("context", self.context), ("held", self.held)):
            if part is not None:
                state |= {f"{name}.{k}": v for k, v in part._asdict().items()}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over every attribute."""
        parts: dict[str, dict[str, Any]] = {"context": {}, "held": {}}
        for key, value in state.items():
            name, _, attribute = key.partition(".")
            if attribute:
                parts[name][attribute] = value
            else:
                setattr(self, key, value)
        kind = SpanOverlap if "partners" in parts["context"] else Signatures
        self.context = kind(**parts["context"])
        self.held = Signatures(**parts["held"]) if parts["held"] else None

    @property
    def silence(self) -> str | None:
        """Why nothing can be found by the context's features; None where they predict something."""
        return NO_SIGNAL if len(self.stack) and self.stack[0] == 0 else None


def _has_answer_tokens(inputs: Sequence[DetectorInput]) -> bool:
    return all(
        prompt.tokens_in(prompt.regions["answer"]) if "answer" in prompt.regions else False
        for prompt in (detector_input.activations.prompts[0] for detector_input in inputs)
    )


def _held_scores(stack: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
    """Returns the log-probability of each sense, centred, `[n, class]`."""
    likely = stacked_probabilities(stack, log_odds, np.zeros_like(log_odds))
    scores = np.log(np.maximum(likely, 1e-12))
    return scores - scores.mean(axis=1, keepdims=True)
