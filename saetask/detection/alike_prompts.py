"""How often prompts in which a concept is as active had the reading that it speaks for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from saetask.detection.feature_owners import ownership

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64

FEWEST = 20
"""Where fewer prompts are as active, the share is that of so many that are nearest to it."""
ROUNDING = 1e-4
"""Difference of two activities that counts as none."""


class AlikePrompts(NamedTuple):
    """Prompts of the fit split in which a concept is at least as active as here, or as inactive."""

    n: int
    """Number of them."""
    share: float
    """Share of them whose right reading is the one that the concept speaks for."""
    of_all: float
    """The same share of all prompts of the fit split."""
    activity: float
    """Sum of the log-activations of the concept's features here."""
    usual: float
    """Its mean over the fit split."""


class ConceptActivity(NamedTuple):
    """How active concepts are in the prompts that a probe was fitted on, and their right classes.

    No weight of the probe is in it: who reads a finding can hold it against what the probe says.
    """

    values: "Float32[np.ndarray, 'n concept']"
    """Sum of the log-activations of the concept's features."""
    classes: "Int64[np.ndarray, ' n']"
    concepts: Sequence[str]
    """Ids of the concepts."""

    def alike(
        self, concept: str, activity: float, fires_less: bool, speaks_for: int
    ) -> AlikePrompts | None:
        """Returns in how many prompts a concept is as active, and which share is of a class.

        Args:
            concept: Id of the concept; nothing is known of one that was added since.
            activity: How active it is in the prompt at hand.
            fires_less: Whether prompts count in which it is at most as active, not at least.
            speaks_for: The class that it speaks for.
        """
        if concept not in self.concepts:
            return None
        own, sign = self.values[:, self.concepts.index(concept)], 1 if fires_less else -1
        n_reached = int((sign * own <= sign * activity + ROUNDING).sum())
        n = min(max(n_reached, FEWEST), len(own))
        nearest = np.argsort(sign * own, kind="stable")[:n]
        right = self.classes == speaks_for
        shares = float(right[nearest].mean()), float(right.mean())
        return AlikePrompts(n, *shares, activity, float(own.mean()))


def concept_activity(
    design: csr_matrix,
    owners: "Int64[np.ndarray, ' column']",
    concepts: Sequence[str],
    classes: "Int64[np.ndarray, ' n']",
) -> ConceptActivity:
    """Returns the activity of concepts in prompts.

    Args:
        design: Log-activations, `[n, column]`.
        owners: The concept of each column; -1 for none.
        concepts: Ids of the concepts.
        classes: The right class of each prompt.
    """
    sums: Any = design @ ownership(owners, len(concepts))
    return ConceptActivity(sums.toarray().astype(np.float32), classes, concepts)
