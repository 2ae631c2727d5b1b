"""Trials of concepts: how well each one's activation tells where its name holds, in unseen text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.dictionary.concept_table import TriedConcept
from saetask.dictionary.naming.battery import Predicate, Predicates
from saetask.dictionary.naming.concept_groups import (
    ConceptGroups,
    concept_aurocs,
    concept_scores,
    null_aurocs,
)
from saetask.dictionary.naming.telling_words import firing_examples, telling_words
from saetask.dictionary.naming.token_words import TokenWords
from saetask.saes.concepts import Concept

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from scipy.sparse import csr_matrix

MIN_CONCEPT_AUROC = 0.7
"""Area under the curve, on test documents, that a validated concept must reach."""


@dataclass(frozen=True)
class NamedSplit:
    """Tokens of one split of the documents, and where each predicate holds."""

    tokens: TokenWords
    pieces: list[str]
    """Text of each token, white space included."""
    predicates: Predicates

    def source(self, predicate: Predicate) -> "Bool[np.ndarray, ' n']":
        """Returns which tokens are of a predicate's source themselves, as `on` says."""
        own = f"on:{predicate.source}"
        known = any(each.id == own for each in self.predicates.predicates)
        return self.predicates.where(own) if known else np.ones(len(self.pieces), bool)


def try_concepts(
    groups: ConceptGroups,
    splits: Sequence[NamedSplit],
    train: "csr_matrix",
    test: "csr_matrix",
) -> list[TriedConcept]:
    """Makes concepts of groups of features, and tries each on the test documents.

    Args:
        groups: The features of each predicate.
        splits: Build, selection and test documents.
        train: Feature activations on the build documents, `[n_tokens, d_sae]`.
        test: On the test documents.
    """
    predicates = splits[0].predicates.predicates
    columns = groups.columns
    weights = groups.weights[:, columns]
    scores, holds = concept_scores(test, weights), splits[2].predicates.holds[:, columns]
    areas, nulls = concept_aurocs(scores, holds), null_aurocs(scores, holds)
    firing, tried = concept_scores(train, weights), []
    for place, column in enumerate(columns):
        valid = areas[place] >= MIN_CONCEPT_AUROC and areas[place] > nulls[place]
        features = np.flatnonzero(weights[:, place])
        shown = _shown(predicates[column], splits[0], firing[:, place])
        concept = Concept(
            predicates[column].id,
            predicates[column].name,
            predicates[column].kind,
            tuple(features.tolist()),
            tuple(weights[features, place].tolist()),
            "validated" if valid else "not confirmed",
            shown.words,
            shown.examples,
        )
        statistic = float(groups.statistic[column])
        figures = (statistic, float(nulls[place]), float(areas[place]))
        tried.append(TriedConcept(concept, predicates[column].source, *figures))
    return tried


class _Shown(NamedTuple):
    words: tuple[str, ...]
    examples: tuple[str, ...]


def _shown(
    predicate: Predicate, split: NamedSplit, activations: "Float[np.ndarray, ' n']"
) -> _Shown:
    """Returns telling words and contexts of a concept, where its name holds."""
    firing = np.flatnonzero((activations > 0) & split.predicates.where(predicate.id))
    strengths = activations[firing]
    return _Shown(
        telling_words(predicate, split.tokens, split.source(predicate), firing, strengths),
        firing_examples(split.pieces, split.tokens, firing, strengths),
    )
