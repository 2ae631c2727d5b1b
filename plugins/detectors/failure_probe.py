"""A logistic probe on feature activations, calibrated against the model's own answer."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack

from saetask.detection import (
    CHANCE,
    DetectorInput,
    Evidence,
    Finding,
    Misunderstanding,
    answer_scores,
    fit_stack,
    held_out_loss,
    in_domain_rows,
    known_readings,
    labels_of,
    log_activations,
    make_findings,
    make_misunderstanding,
    out_of_fold,
    region_sets,
    stacked_probabilities,
)

from .stability import STABLE, stability

REGIONS = ("text", "target", "answer", "story", "question", "end", "shared", "apart")
"""A state's columns are counted in this order; `story` is in states of older fits only."""
PENALTIES = (("l2", 0.003), ("l2", 0.03), ("l1", 0.3))
"""Penalty and inverse strength C; L1 gives a short list of features."""
SPARSE = ("l1", 0.3)
"""Penalty and C of the probes that tell which features are stable."""
MIN_FIRINGS = 3
NAMED_FEATURES = 5


class FailureProbe:
    """Finds prompts whose features support another reading than the model's answer.

    Logistic regression on log(1 + activation), max-pooled over the prompt's regions, predicts the
    right reading; regions and penalty are chosen by grouped inner cross-validation. A second,
    three-parameter regression joins its out-of-fold log-odds with the model's own log-likelihoods
    (and a bias a reading), so that the probability that the model is wrong is calibrated, and
    features that predict nothing lead to no finding. This is Platt scaling on thirds of the fit
    split in turn: each third is judged by a probe on the two others, and what is kept is the probe
    on all three.

    A finding names features that sparse probes pick again on other halves of the groups (stability
    selection); that changes which are named, and no probability.
    """

    name = "failure-probe"
    uses_auxiliary = True

    def __init__(self) -> None:
        self.readings: list[str] = []
        self.regions: tuple[str, ...] = ()
        self.penalty: tuple[str, float] = ("l2", 0.0)
        self.d_sae = 0
        self.columns = np.empty(0, np.int64)
        self.weights = np.empty((0, 0))
        self.bias = np.empty(0)
        self.stack = np.empty(0)
        self.stability = np.empty((0, 0))
        self.tried: list[dict[str, Any]] = []

    def fit(
        self, readings: Sequence[DetectorInput], outcomes: Sequence[str], groups: Sequence[str]
    ) -> list[Finding]:
        """Fits probe and calibration; see the class."""
        self.readings = known_readings(outcomes, groups)
        self.d_sae = readings[0].activations.d_sae
        labels, own = labels_of(outcomes, self.readings), in_domain_rows(readings)
        best, held_out = np.inf, np.zeros((len(labels), len(self.readings)))
        self.tried = []
        for regions in region_sets(readings[0].activations.prompts[0].regions):
            inputs = _pooled(readings, regions)
            for penalty in PENALTIES:
                log_odds = _out_of_fold(inputs, labels, groups, penalty)
                loss = held_out_loss(log_odds[own], labels[own])
                setting = {"regions": list(regions), "penalty": list(penalty), "fit_loss": loss}
                self.tried.append(setting)
                if loss < best:
                    best, self.regions, self.penalty, held_out = loss, regions, penalty, log_odds
        inputs = _pooled(readings, self.regions)
        self.columns = _live_columns(inputs)
        inputs = csr_matrix(inputs[:, self.columns])
        self.weights, self.bias = _logistic(inputs, labels, self.penalty)
        self.stability = stability(
            self.weights,
            self.columns % self.d_sae,
            labels,
            groups,
            lambda rows, columns: _logistic(inputs[rows][:, columns], labels[rows], SPARSE)[0],
        )
        answers = answer_scores(readings, self.readings)
        chance = CHANCE / len(self.tried)
        self.stack = fit_stack(held_out[own], answers[own], labels[own], chance)
        probabilities = stacked_probabilities(self.stack, held_out, answers)
        return make_findings(readings, self.readings, probabilities, self.explain)

    def detect(self, reading: DetectorInput) -> Finding:
        """Finds a misunderstanding where a reading is more probable than the model's own."""
        log_odds, answers = self._log_odds([reading]), answer_scores([reading], self.readings)
        probabilities = stacked_probabilities(self.stack, log_odds, answers)
        return make_findings([reading], self.readings, probabilities, self.explain)[0]

    def explain(self, reading: DetectorInput, name: str) -> Misunderstanding:
        """Names the stable features that add most to the reading, against the others' mean.

        Where no feature that adds to it is stable, it names those that add most.
        """
        chosen = self.readings.index(name)
        row = _pooled([reading], self.regions)[:, self.columns].toarray()[0]
        weights = self.weights[chosen] - np.delete(self.weights, chosen, axis=0).mean(0)
        weights = weights * self.stack[0]
        adding = np.argsort(-row * weights)
        adding = adding[row[adding] * weights[adding] > 0]
        speaks_for = self.weights[chosen] * weights > 0
        stable = adding[(self._stable()[chosen] & speaks_for)[adding]]
        found: dict[int, Evidence] = {}
        for column in stable if len(stable) else adding:
            feature = int(self.columns[column] % self.d_sae)
            if len(found) == NAMED_FEATURES:
                break
            activation, weight = float(np.expm1(row[column])), float(weights[column])
            found.setdefault(feature, Evidence(feature, "", activation, weight))
        return make_misunderstanding(self.name, reading, name, list(found.values()))

    def _stable(self) -> np.ndarray:
        """Tells which columns are stable, `[class, column]`; none where that was never tried."""
        if self.stability.shape != self.weights.shape:
            return np.zeros(self.weights.shape, bool)
        return self.stability >= STABLE

    def feature_ids(self) -> np.ndarray:
        """Returns the features with any weight, ascending."""
        return np.unique(self.columns[np.abs(self.weights).sum(0) > 0] % self.d_sae)

    def on_features(
        self,
        replacement: Mapping[int, int],
        readings: Sequence[DetectorInput],
        outcomes: Sequence[str],
    ) -> "FailureProbe":
        """Returns a copy with its weights on other features and its calibration fitted anew."""
        copy = FailureProbe()
        copy.load_state_dict(self.state_dict())
        regions, features = np.divmod(self.columns, self.d_sae)
        moved = [replacement.get(feature, feature) for feature in features.tolist()]
        copy.columns = regions * self.d_sae + np.array(moved)
        answers, labels = answer_scores(readings, self.readings), labels_of(outcomes, self.readings)
        own = in_domain_rows(readings)
        copy.stack = fit_stack(copy._log_odds(readings)[own], answers[own], labels[own])
        return copy

    def _log_odds(self, readings: Sequence[DetectorInput]) -> np.ndarray:
        return _pooled(readings, self.regions)[:, self.columns] @ self.weights.T + self.bias

    def summary(self) -> dict[str, Any]:
        """Returns regions, penalty, and how much features and answer weigh in the calibration."""
        stable = self.columns[self._stable().any(0)] % self.d_sae
        return {
            "regions": list(self.regions),
            "penalty": list(self.penalty),
            "tried": self.tried,
            "n_features": len(self.feature_ids()),
            "n_stable_features": len(np.unique(stable)),
            "weight_of_features": float(self.stack[0]),
            "weight_of_answer": float(self.stack[1]),
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns every attribute."""
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over every attribute; a state from before stability selection has no stability."""
        vars(self).update({"stability": np.empty((0, 0)), **state})


def _pooled(readings: Sequence[DetectorInput], regions: Sequence[str]) -> csr_matrix:
    """Returns log(1 + |strongest activation|), signed, `[n, region * d_sae]`: a block a region."""
    d_sae = readings[0].activations.d_sae
    nothing = csr_matrix((len(readings), d_sae))
    blocks = [log_activations(readings, r) if r in regions else nothing for r in REGIONS]
    return csr_matrix(hstack(blocks))


def _live_columns(inputs: csr_matrix) -> np.ndarray:
    return np.flatnonzero(inputs.getnnz(axis=0) >= MIN_FIRINGS)


def _logistic(
    inputs: csr_matrix, labels: np.ndarray, penalty: tuple[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Fits one-versus-rest logistic regressions; returns weights `[class, column]` and biases."""
    from sklearn.linear_model import LogisticRegression

    if not inputs.nnz:
        n_classes = len(np.unique(labels))
        return np.zeros((n_classes, inputs.getnnz(axis=0).size)), np.zeros(n_classes)
    kind, strength = penalty
    weights, biases = [], []
    for label in np.unique(labels):
        model: Any = LogisticRegression(
            C=strength, l1_ratio=float(kind == "l1"), solver="liblinear", random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(inputs, labels == label)
        weights.append(model.coef_[0])
        biases.append(model.intercept_[0])
    return np.array(weights), np.array(biases)


def _out_of_fold(
    inputs: csr_matrix, labels: np.ndarray, groups: Sequence[str], penalty: tuple[str, float]
) -> np.ndarray:
    """Returns log-odds `[n, class]` from probes that did not see the item's group."""

    def log_odds(fit: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        columns = _live_columns(inputs[fit])
        weights, bias = _logistic(inputs[fit][:, columns], labels[fit], penalty)
        return inputs[held_out][:, columns] @ weights.T + bias

    return out_of_fold(labels, groups, log_odds)
