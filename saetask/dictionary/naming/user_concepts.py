"""Concepts of a user: word lists or two sets of example sentences, from a JSONL file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from saetask.data.items import read_rows
from saetask.data.word_classes import word_lists
from saetask.dictionary.concept_table import TriedConcept
from saetask.dictionary.documents import Document
from saetask.dictionary.naming.battery import CLASS_NAMES, ENDINGS, SIGNS
from saetask.errors import UserError
from saetask.saes.concepts import Concept, concept_activations
from saetask.saes.extraction import read_features
from saetask.utils.validation import validate

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

MIN_SENTENCES = 8
"""Minimum number of sentences of each set: half of them choose the features, half try them."""
MIN_Z = 2.0
"""Standard errors by which a feature must fire in more examples than others."""
PERMUTATIONS = 200
NULL_QUANTILE = 0.95


class UserConcept(Document):
    """A row of a concept file."""

    model_config = ConfigDict(strict=False)

    name: str
    """A few plain words."""
    words: list[str] = Field(default_factory=list)
    """The words that it is about; their inflected forms count as well."""
    examples: list[str] = Field(default_factory=list)
    """Sentences in which it is present."""
    others: list[str] = Field(default_factory=list)
    """Like sentences in which it is not."""

    @model_validator(mode="after")
    def _check(self) -> "UserConcept":
        if not self.name.strip() or not all(word.strip().isalpha() for word in self.words):
            raise ValueError("name must not be empty, and words must be single words of letters")
        if self.name in {*CLASS_NAMES, *CLASS_NAMES.values(), *word_lists(), *SIGNS, *ENDINGS}:
            raise ValueError(f"'{self.name}' is the name of a built-in concept; take another")
        sentences = min(len(self.examples), len(self.others))
        if bool(self.words) == bool(self.examples or self.others):
            raise ValueError("give either words, or examples and others")
        if not self.words and sentences < MIN_SENTENCES:
            raise ValueError(f"examples and others must be {MIN_SENTENCES} sentences each, or more")
        return self


def read_user_concepts(path: Path) -> list[UserConcept]:
    """Reads a concept file.

    Raises:
        UserError: The file can not be read, a row does not fit, or a name is given twice.
    """
    concepts = [validate(UserConcept, row, f"{path}:{line}") for line, row in read_rows(path)]
    names = [concept.name for concept in concepts]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"{path}: the name '{name}' is given twice; give every concept its own."
            )
    return concepts


def contrast_concept(concept: UserConcept, model: "Model", sae: "SAE[Any]") -> TriedConcept:
    """Returns the concept of the features that fire in more of its examples than of the others.

    Every second sentence chooses the features, the rest try them. A concept is validated if its
    activation separates the two sets better than in 95 % of permutations of the tried sentences.

    Raises:
        UserError: A sentence is empty or too long, or no feature tells the two sets apart.
    """
    activations = read_features(model, sae, [*concept.examples, *concept.others], chat=False)
    pooled = activations.pooled()
    pooled.data = np.log1p(np.abs(pooled.data))
    present = np.repeat([True, False], [len(concept.examples), len(concept.others)])
    chosen = np.arange(len(present)) % 2 == 0
    weights = _weights(pooled[chosen], present[chosen])
    features = np.flatnonzero(weights)
    if not len(features):
        raise UserError(
            f"Concept '{concept.name}': no feature fires in more of the examples than of the "
            "others; give more sentences, or clearer ones."
        )
    made = Concept(
        f"contrast:{concept.name}",
        concept.name,
        "contrast",
        tuple(features.tolist()),
        tuple(weights[features].tolist()),
        examples=tuple(concept.examples[:3]),
    )
    scores = concept_activations(pooled[~chosen], [made])[:, 0]
    auroc, null = _area_and_null(scores, present[~chosen])
    verdict = "validated" if auroc > null else "not confirmed"
    statistic = float(np.median(_standard_scores(pooled[~chosen], present[~chosen])[features]))
    return TriedConcept(made._replace(verdict=verdict), "example sentences", statistic, null, auroc)


def _weights(pooled: "csr_matrix", present: np.ndarray) -> np.ndarray:
    """Returns the weight of each feature, `[d_sae]`: log2 of how much more often it fires."""
    fires: Any = pooled > 0
    shares = [np.asarray(fires[rows].mean(0)).ravel() for rows in (present, ~present)]
    more = _standard_scores(pooled, present) >= MIN_Z
    floor = 1 / (2 * len(present))
    return np.where(more, np.log2(np.maximum(shares[0], floor) / np.maximum(shares[1], floor)), 0)


def _standard_scores(pooled: "csr_matrix", present: np.ndarray) -> np.ndarray:
    """Returns by how many standard errors each feature fires in more of the examples, `[d_sae]`."""
    fires: Any = pooled > 0
    shares = [np.asarray(fires[rows].mean(0)).ravel() for rows in (present, ~present)]
    share = np.asarray(fires.mean(0)).ravel()
    error = np.sqrt(share * (1 - share) * (1 / present.sum() + 1 / (~present).sum()))
    return (shares[0] - shares[1]) / np.maximum(error, 1e-12)


def _area_and_null(scores: np.ndarray, present: np.ndarray) -> tuple[float, float]:
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(0)
    by_chance = [roc_auc_score(generator.permutation(present), scores) for _ in range(PERMUTATIONS)]
    return float(roc_auc_score(present, scores)), float(np.quantile(by_chance, NULL_QUANTILE))


def word_lists_of(concepts: Sequence[UserConcept]) -> dict[str, frozenset[str]]:
    """Returns the words of each concept that is a word list, in lower case."""
    return {
        concept.name: frozenset(word.strip().lower() for word in concept.words)
        for concept in concepts
        if concept.words
    }
