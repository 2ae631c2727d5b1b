"""Names of features: of all predicates the one that tells most about where a feature fires."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.dictionary.naming.association import Association, associate

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int64
    from scipy.sparse import csc_matrix, csr_matrix

MIN_FIRINGS = 30
"""Minimum number of firings on the documents that a name is chosen on, and tried on."""
MIN_LIFT = 2.0
"""How many times more often than anywhere the predicate must hold where the feature fires."""
TRIED = 5
"""Number of predicates, those that tell most on the build documents, compared on others."""
NULL_QUANTILE = 0.99
NULL_BINS = 10
"""Features are compared with a null of features that fire about as often."""


class Evidence(NamedTuple):
    """Where features fire and predicates hold, on two sets of documents."""

    train: Association
    selection: Association


class FeatureNames(NamedTuple):
    """The predicate chosen for each feature."""

    predicate: "Int64[np.ndarray, ' d_sae']"
    """Index of the predicate; -1 where no predicate tells more than chance."""
    auroc: "Float64[np.ndarray, ' d_sae']"
    """Area under the curve of the predicate on the selection documents."""
    null: "Float64[np.ndarray, ' d_sae']"
    """What that area must exceed: the 99 % quantile for like features on shifted documents."""


def gather_evidence(
    train: "csr_matrix",
    selection: "csr_matrix",
    holds_train: "csc_matrix",
    holds_selection: "csc_matrix",
    shifted: bool = False,
) -> Evidence:
    """Counts where features fire and predicates hold.

    Args:
        train: Feature activations on build documents, `[n_tokens, d_sae]`.
        selection: On other documents.
        holds_train: Where predicates hold on the build documents, `[n_tokens, n_predicates]`.
        holds_selection: On the other documents.
        shifted: Moves the predicates a third of the documents on, so that every relation of
            features and predicates is by chance.
    """
    pairs = ((train, holds_train), (selection, holds_selection))
    return Evidence(
        *(associate(fires, _shift(holds) if shifted else holds) for fires, holds in pairs)
    )


def _shift(holds: "csc_matrix") -> "csc_matrix":
    rows = np.arange(holds.shape[0])  # pyright: ignore
    return holds[np.roll(rows, len(rows) // 3)]


def choose_names(evidence: Evidence, null: Evidence) -> FeatureNames:
    """Chooses each feature's predicate.

    Those that tell most about its firing on the build documents, by mutual information, are
    compared in the same way on the selection documents: a narrow class that holds at few other
    tokens tells more than a broad one. The best one is the name if its area under the curve there
    is above what the same choice gives on shifted documents.

    Args:
        evidence: Of the documents as they are.
        null: Of shifted documents.
    """
    chosen, by_chance = _best(evidence), _best(null)
    threshold = _null_thresholds(by_chance.auroc, evidence.train.firing[:, 0])
    named = is_live(evidence) & (chosen.auroc > threshold) & (chosen.predicate >= 0)
    return FeatureNames(np.where(named, chosen.predicate, -1), chosen.auroc, threshold)


class _Choice(NamedTuple):
    predicate: "Int64[np.ndarray, ' d_sae']"
    auroc: "Float64[np.ndarray, ' d_sae']"


def _best(evidence: Evidence) -> _Choice:
    possible = (evidence.train.lift >= MIN_LIFT) & (evidence.selection.lift >= MIN_LIFT)
    information = np.where(possible, evidence.train.information, -np.inf)
    tried = np.argsort(-information, axis=1, kind="stable")[:, :TRIED]
    held_out = np.where(possible, evidence.selection.information, 0)
    rows = np.arange(len(tried))
    best = tried[rows, np.take_along_axis(held_out, tried, axis=1).argmax(1)]
    found = held_out[rows, best] > 0
    return _Choice(np.where(found, best, -1), evidence.selection.auroc[rows, best] * found)


def _null_thresholds(
    by_chance: "Float64[np.ndarray, ' d_sae']", firing: "Float64[np.ndarray, ' d_sae']"
) -> "Float64[np.ndarray, ' d_sae']":
    """Returns a quantile of the areas by chance among features that fire about as often."""
    thresholds = np.zeros(len(by_chance))
    for rows in np.array_split(np.argsort(firing, kind="stable"), NULL_BINS):
        if len(rows):
            thresholds[rows] = np.quantile(by_chance[rows], NULL_QUANTILE)
    return np.maximum(thresholds, 0.5)


def is_live(evidence: Evidence) -> "Bool[np.ndarray, ' d_sae']":
    """Returns which features fire often enough to be named."""
    return evidence.train.firing[:, 0] >= MIN_FIRINGS
