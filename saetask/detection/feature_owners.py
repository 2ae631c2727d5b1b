"""Which concept each feature counts to, where evidence is summed up by concept."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from saetask.saes.concepts import Concept

if TYPE_CHECKING:
    from jaxtyping import Int64


@lru_cache(maxsize=16)
def owned_concepts(concepts: tuple[Concept, ...], d_sae: int) -> tuple[Concept, ...]:
    """Returns the concepts, each with those features alone that count to it.

    Args:
        concepts: The concepts.
        d_sae: Number of features of the SAE.
    """
    owners = strongest_concepts(concepts, d_sae)
    owned = (set(np.flatnonzero(owners == number).tolist()) for number in range(len(concepts)))
    return tuple(concept.restricted(own) for concept, own in zip(concepts, owned))


@lru_cache(maxsize=16)
def strongest_concepts(concepts: tuple[Concept, ...], d_sae: int) -> "Int64[np.ndarray, 'd_sae']":
    """Returns the index of the concept that each feature counts to; -1 for none.

    It is the one in which it has its largest weight. Where that is of the form of words alone, or
    there is none, the feature counts to its wide class, else to its contrast.

    Args:
        concepts: The concepts; of equal weights the first counts.
        d_sae: Number of features of the SAE.
    """
    tiers = np.array([_tier(concept) for concept in concepts])
    is_form = np.array([concept.subject == "form" for concept in concepts], bool)
    owners = _largest_weights(concepts, np.flatnonzero(tiers == 0), d_sae)
    for tier in (1, 2):
        others = _largest_weights(concepts, np.flatnonzero(tiers == tier), d_sae)
        without_meaning = (owners < 0) | np.append(is_form, False)[owners]
        owners = np.where(without_meaning & (others >= 0), others, owners)
    return owners


def meaning_owners(concepts: tuple[Concept, ...], d_sae: int) -> "Int64[np.ndarray, 'd_sae']":
    """Returns the index of the concept of a meaning that each feature counts to; -1 for none.

    Args:
        concepts: The concepts.
        d_sae: Number of features of the SAE.
    """
    tells = np.array([*(concept.subject == "meaning" for concept in concepts), False], bool)
    owners = strongest_concepts(concepts, d_sae)
    return np.where(tells[owners], owners, -1)


def ownership(owners: "Int64[np.ndarray, ' column']", n_concepts: int) -> "csr_matrix":
    """Returns 1 where a column counts to a concept, `[column, concept]`.

    Args:
        owners: The concept of each column; -1 for none.
        n_concepts: Number of concepts.
    """
    owned = np.flatnonzero(owners >= 0)
    ones = np.ones(len(owned)), (owned, owners[owned])
    return csr_matrix(ones, (len(owners), n_concepts))


def _tier(concept: Concept) -> int:
    """Returns 0 for a concept of one class of words, 1 for a wide one, 2 for a contrast."""
    return 2 if concept.subject == "contrast" else int(concept.wide)


def _largest_weights(
    concepts: Sequence[Concept], numbers: "Int64[np.ndarray, 'k']", d_sae: int
) -> "Int64[np.ndarray, 'd_sae']":
    """Returns in which of some concepts each feature has its largest weight; -1 for none."""
    owners, largest = np.full(d_sae, -1, dtype=np.int64), np.zeros(d_sae)
    for number in numbers.tolist():
        features = np.array(concepts[number].features, dtype=np.int64)
        weights = np.abs(np.array(concepts[number].weights))
        larger = weights > largest[features]
        owners[features[larger]], largest[features[larger]] = number, weights[larger]
    return owners
