"""Logistic regressions on the log-activations of features."""

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

if TYPE_CHECKING:
    from jaxtyping import Float64

MIN_FIRINGS = 3


class LogisticWeights(NamedTuple):
    """One-versus-rest logistic regressions."""

    weights: "Float64[np.ndarray, 'class column']"
    bias: "Float64[np.ndarray, ' class']"

    def log_odds(self, design: csr_matrix) -> "Float64[np.ndarray, 'n class']":
        """Returns the log-odds of each class in each row, `[n, class]`."""
        return design @ self.weights.T + self.bias


def live_columns(design: csr_matrix) -> np.ndarray:
    """Returns the columns that are not zero in as many prompts as a probe needs."""
    return np.flatnonzero(design.getnnz(axis=0) >= MIN_FIRINGS)


def column_means(design: csr_matrix) -> "Float64[np.ndarray, ' column']":
    """Returns the mean of each column."""
    return np.asarray(design.mean(0), dtype=float).ravel()


def fit_logistic(
    design: csr_matrix, labels: np.ndarray, penalty: tuple[str, float]
) -> LogisticWeights:
    """Fits a regression for each class.

    Args:
        design: `[n, column]`.
        labels: The class of each row, `[n]`.
        penalty: Kind of penalty and inverse strength C.
    """
    from sklearn.linear_model import LogisticRegression

    if not design.nnz:
        n_classes = len(np.unique(labels))
        no_weights = np.zeros((n_classes, design.getnnz(axis=0).size))
        return LogisticWeights(no_weights, np.zeros(n_classes))
    kind, strength = penalty
    weights, biases = [], []
    for label in np.unique(labels):
        model: Any = LogisticRegression(
            C=strength, l1_ratio=float(kind == "l1"), solver="liblinear", random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(design, labels == label)
        weights.append(model.coef_[0])
        biases.append(model.intercept_[0])
    return LogisticWeights(np.array(weights), np.array(biases))
