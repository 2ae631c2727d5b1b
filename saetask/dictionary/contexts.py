"""Contexts of a feature with what each shows: what labels are made from and tried on."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from saetask.dictionary.examples import Examples, FiringIndex
from saetask.dictionary.rules import Vocabulary, atoms


class Contexts(NamedTuple):
    """Examples of a feature with what each shows."""

    examples: Examples
    atoms: csr_matrix
    """`[n, n_atoms]`; see `rules.atoms`."""


def draw_contexts(
    index: FiringIndex,
    feature: int,
    neighbours: np.ndarray,
    n_firing: int,
    vocabulary: Vocabulary,
    seed: list[int],
) -> Contexts:
    """Draws examples of a feature; the same for the same seed, whatever else was drawn."""
    generator = np.random.default_rng([*seed, feature])
    examples = index.draw(feature, int(neighbours[feature]), n_firing, generator)
    return Contexts(examples, atoms(examples.windows, vocabulary))
