"""Concepts: for every predicate the features that fire more often where it holds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.data.class_names import PARTS_OF_SPEECH, TOO_WIDE, WIDE_CLASSES
from saetask.dictionary.naming.association import Association
from saetask.dictionary.naming.battery import Predicate
from saetask.dictionary.naming.feature_names import MIN_FIRINGS, MIN_LIFT, Evidence

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64
    from scipy.sparse import csc_matrix, csr_matrix

Z_TRAIN, Z_SELECTION = 5.0, 3.0
"""Standard errors by which the predicate must hold more often where the feature fires."""
MIN_ODDS_RATIO = 2.0
"""How much larger the odds of a wide class must be where a feature fires on its part of speech."""
MIN_FEATURES = 3
MOST_CONCEPTS, MOST_WIDE = 2, 1
"""Maximum number of concepts that a feature belongs to, and of wide classes beside them."""
TRIED_RELATIONS = ("on", "near")
"""Relations whose predicates become concepts."""
SHIFTS = 10
"""Number of ways in which predicates are moved along the text, for areas by chance."""


class ConceptGroups(NamedTuple):
    """Features of each predicate, and their weights."""

    weights: "Float64[np.ndarray, 'd_sae n_predicates']"
    """Share of the uncertainty of the feature's firing that the predicate takes away, on the build
    documents; zero outside the group."""
    statistic: "Float64[np.ndarray, ' n_predicates']"
    """Median standard score of a group's features on the selection documents."""

    @property
    def columns(self) -> list[int]:
        """Indices of the predicates that have a group and become concepts."""
        return np.flatnonzero(np.any(self.weights > 0, axis=0)).tolist()


def group_features(evidence: Evidence, predicates: Sequence[Predicate]) -> ConceptGroups:
    """Returns the features that belong to each predicate.

    A feature belongs to the `MOST_CONCEPTS` predicates that tell most about its firing, and to
    `MOST_WIDE` wide classes, if it does so beyond chance: the predicate holds at its firings at
    least `MIN_LIFT` times as often as anywhere, by `Z_TRAIN` standard errors on the build documents
    and by `Z_SELECTION` on others. A wide class must do so among the words of its part of speech:
    a feature that fires on any noun tells nothing of abstract ones. Nouns as such are no concept.

    Args:
        evidence: Where features fire and predicates hold.
        predicates: The predicates.
    """
    z_train, z_selection = (standard_scores(each) for each in evidence)
    lifts = np.minimum(evidence.train.lift, evidence.selection.lift)
    member = (z_train >= Z_TRAIN) & (z_selection >= Z_SELECTION) & (lifts >= MIN_LIFT)
    member &= evidence.train.firing >= MIN_FIRINGS
    member &= [each.id.partition(":")[0] in TRIED_RELATIONS for each in predicates]
    member &= [each.source not in TOO_WIDE for each in predicates]
    told = np.where(member, evidence.train.uncertainty_coefficient, 0)
    wide = np.array([each.source in WIDE_CLASSES for each in predicates])
    member &= ~wide | _are_specific(evidence, predicates)
    for columns, most in ((wide, MOST_WIDE), (~wide, MOST_CONCEPTS)):
        member[:, columns] &= _among_largest(told[:, columns], most)
    member &= member.sum(0) >= MIN_FEATURES
    scores = np.ma.masked_where(~member, z_selection)
    statistic = np.ma.median(scores, axis=0).filled(0.0)
    return ConceptGroups(np.where(member, told, 0), statistic)


def _are_specific(
    evidence: Evidence, predicates: Sequence[Predicate]
) -> "Bool[np.ndarray, 'd_sae n_predicates']":
    """Returns which features fire on a wide class rather than on any word of its part of speech."""
    columns = {predicate.id: column for column, predicate in enumerate(predicates)}
    specific = np.zeros_like(evidence.train.both, bool)
    for name, classes in WIDE_CLASSES.items():
        if (column := columns.get(f"on:{name}")) is None:
            continue
        part = next(p for p, begin in PARTS_OF_SPEECH.items() if classes[0].startswith(begin))
        specific[:, column] = True
        for whole, z in zip(evidence, (Z_TRAIN, Z_SELECTION)):
            inside = _within(whole, column, columns[f"on:{part}"])
            clear = (inside.odds_ratio >= MIN_ODDS_RATIO) & (standard_scores(inside) >= z)
            specific[:, column] &= clear[:, 0]
    return specific


def _within(association: Association, column: int, part: int) -> Association:
    """Returns a feature's association with one predicate over the tokens of another, wider one."""
    return Association(
        association.both[:, [column]],
        association.both[:, [part]],
        association.holding[:, [column]],
        max(int(association.holding[0, part]), 1),
    )


def _among_largest(
    values: "Float64[np.ndarray, 'd_sae n_predicates']", n: int
) -> "Bool[np.ndarray, 'd_sae n_predicates']":
    """Returns which values are among the `n` largest of their row; of equal ones the first are."""
    return np.argsort(np.argsort(-values, axis=1, kind="stable"), axis=1) < n


def standard_scores(association: Association) -> "Float64[np.ndarray, 'd_sae n_predicates']":
    """Returns by how many standard errors a predicate holds more often where a feature fires."""
    base = association.holding / association.n_tokens
    error = np.sqrt(base * (1 - base) / np.maximum(association.firing, 1))
    return (association.recall - base) / np.maximum(error, 1e-12)


def concept_scores(
    activations: "csr_matrix", weights: "Float64[np.ndarray, 'd_sae n']"
) -> "Float64[np.ndarray, 'n_tokens n']":
    """Returns the activation of each concept on each token; see `saetask.saes.Concept`."""
    log_activations = activations.copy()
    log_activations.data = np.log1p(log_activations.data)
    return np.asarray(log_activations @ weights)


def concept_aurocs(
    scores: "Float64[np.ndarray, 'n_tokens n']", holds: "csc_matrix"
) -> "Float64[np.ndarray, ' n']":
    """Returns how well each concept's activation tells where its predicate holds.

    Args:
        scores: Activation of each concept on each token.
        holds: Where the predicate of each concept holds, `[n_tokens, n]`.
    """
    from sklearn.metrics import roc_auc_score

    areas = []
    for column in range(scores.shape[1]):
        truth = np.asarray(holds[:, [column]].todense()).ravel()
        both = 0 < truth.sum() < len(truth)
        areas.append(roc_auc_score(truth, scores[:, column]) if both else 0.5)
    return np.array(areas)


def null_aurocs(
    scores: "Float64[np.ndarray, 'n_tokens n']", holds: "csc_matrix"
) -> "Float64[np.ndarray, ' n']":
    """Returns the largest of such areas when the predicates are moved along the text."""
    rows = np.arange(len(scores))
    moved = [np.roll(rows, shift * len(rows) // (SHIFTS + 1)) for shift in range(1, SHIFTS + 1)]
    return np.max([concept_aurocs(scores, holds[order]) for order in moved], axis=0)
