"""Labelling every feature of a dictionary."""

from collections.abc import Mapping

import numpy as np

from saetask.dictionary.examples import FiringIndex
from saetask.dictionary.labels import FeatureEvidence, Label, Labeler
from saetask.dictionary.rules import Vocabulary

LEARNING_FIRING = 300
"""Strongly firing contexts that a label is made from, at most."""


def label_features(
    learning: FiringIndex,
    selection: FiringIndex,
    neighbours: np.ndarray,
    promoted: Mapping[int, list[str]],
    labeler: Labeler,
    vocabulary: Vocabulary,
    seed: int,
) -> list[Label]:
    """Labels every feature.

    Args:
        learning: Firings on build documents.
        selection: Firings on documents held back for choosing.
        neighbours: The nearest other feature of each, `[d_sae]`.
        promoted: Tokens that each feature promotes.
        labeler: What writes labels.
        vocabulary: The model's tokens.
        seed: Seed of the examples drawn.
    """
    from tqdm import tqdm

    def evidence(feature: int) -> FeatureEvidence:
        learnt, chosen = (
            index.draw(feature, int(neighbours[feature]), LEARNING_FIRING, [seed, number])
            for number, index in enumerate((learning, selection))
        )
        return FeatureEvidence(feature, learnt, chosen, promoted[feature], vocabulary)

    features = tqdm(range(learning.firings.d_sae), desc=f"label: {labeler.name}")
    return [labeler.label(evidence(feature)) for feature in features]
