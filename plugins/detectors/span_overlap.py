"""How much two spans of a prompt have in common: for tasks that compare a word in two places."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from saetask.detection import DetectorInput, Evidence, log_activations, shared_part

from .signatures import MIN_FIRINGS, strongest_evidence

STRENGTH = 10.0
"""Inverse strength C of the penalty on the two weights."""


class SpanOverlap(NamedTuple):
    """A logistic regression on two similarities of the spans `target` and `other`."""

    features: np.ndarray
    """Features that are compared, as they are read on `target`, `[m]`."""
    partners: np.ndarray
    """What each is compared with on `other`: itself, except in the control, `[m]`."""
    weights: np.ndarray
    """Of cosine and weighted Jaccard index, `[class, 2]`."""
    bias: np.ndarray

    def log_odds(self, inputs: Sequence[DetectorInput]) -> np.ndarray:
        """Returns the log-odds of each class, `[n, class]`."""
        return similarities(*self._spans(inputs)) @ self.weights.T + self.bias

    def evidence(
        self, detector_input: DetectorInput, chosen: int, scale: float, most: int
    ) -> list[Evidence]:
        """Names the features that the spans share, or for the other class those that they do not.

        A feature counts by its part of the weighted Jaccard index, or of what that lacks to one.

        Args:
            detector_input: The prompt.
            chosen: The class.
            scale: What the log-odds are multiplied with.
            most: How many, at most.
        """
        one, two = (np.abs(rows.toarray()[0]) for rows in self._spans([detector_input]))
        weight = self.weights[chosen].sum() - np.delete(self.weights, chosen, axis=0).sum(1).mean()
        larger = np.maximum(one, two)
        part = np.minimum(one, two) if weight > 0 else larger - np.minimum(one, two)
        adds = abs(weight) * scale * part / max(larger.sum(), 1e-12)
        units = adds / np.where(larger > 0, larger, 1.0)
        # On a feature that only `other` has, the activation is the one there.
        return strongest_evidence(self.features, larger, units, most)

    def moved(self, replacement: Mapping[int, int]) -> "SpanOverlap":
        """Returns the same regression, each feature compared with another one on `other`."""
        partners = [replacement.get(feature, feature) for feature in self.partners.tolist()]
        return self._replace(partners=np.array(partners, np.int64))

    def _spans(self, inputs: Sequence[DetectorInput]) -> tuple[csr_matrix, csr_matrix]:
        one, two = (log_activations(inputs, region) for region in ("target", "other"))
        return csr_matrix(one[:, self.features]), csr_matrix(two[:, self.partners])


def fit_overlap(inputs: Sequence[DetectorInput], labels: np.ndarray) -> SpanOverlap:
    """Fits how similar the spans are in each class; features that are too rare are left out."""
    from sklearn.linear_model import LogisticRegression

    spans = [log_activations(inputs, region) for region in ("target", "other")]
    features = np.flatnonzero(sum(span.getnnz(axis=0) for span in spans) >= MIN_FIRINGS)
    one, two = (csr_matrix(span[:, features]) for span in spans)
    model = LogisticRegression(C=STRENGTH).fit(similarities(one, two), labels)
    weights, bias = np.array(model.coef_), np.array(model.intercept_)
    if len(weights) == 1:  # two classes share a row
        weights, bias = np.vstack([-weights, weights]) / 2, np.array([-bias[0], bias[0]]) / 2
    return SpanOverlap(features, features, weights, bias)


def similarities(one: csr_matrix, two: csr_matrix) -> np.ndarray:
    """Returns the cosine and the weighted Jaccard index of each pair of rows, `[n, 2]`.

    Features that fire in opposite directions have nothing in common in the Jaccard index.
    """
    dots = np.asarray(one.multiply(two).sum(1))[:, 0]
    squares = [np.asarray(rows.multiply(rows).sum(1))[:, 0] for rows in (one, two)]
    shared = np.asarray(abs(shared_part(one, two)).sum(1))[:, 0]
    either = np.asarray(abs(one).maximum(abs(two)).sum(1))[:, 0]
    cosine = dots / np.maximum(np.sqrt(squares[0] * squares[1]), 1e-12)
    return np.stack([cosine, shared / np.maximum(either, 1e-12)], axis=1)
