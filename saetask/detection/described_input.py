"""A prompt whose features count less on words that their names do not describe.

A feature that is named "animals" fires on some other words as well, mostly weakly. A probe that
rests on those firings can not be explained by the name; weighed down, they are dear to its penalty.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from saetask.detection.base import DetectorInput
from saetask.detection.feature_owners import meaning_owners
from saetask.detection.token_words import token_word
from saetask.saes.activations import FeatureActivations
from saetask.saes.concepts import Concept
from saetask.saes.described_words import describes, tells_of_words

if TYPE_CHECKING:
    from jaxtyping import Bool


def weigh_by_words(detector_input: DetectorInput, scale: float) -> DetectorInput:
    """Returns a prompt with smaller activations where a feature's name does not describe the word.

    Args:
        detector_input: The prompt.
        scale: Factor, 0 to 1, on activations of features that count to a concept of single words
            (such as food), on tokens of no word that is one of its words.

    Returns:
        The prompt itself where nothing is to be weighed down.
    """
    concepts = tuple(detector_input.concepts)
    if scale == 1 or not any(tells_of_words(concept.id) for concept in concepts):
        return detector_input
    key = (scale, concepts)
    if key not in detector_input.computed:
        detector_input.computed[key] = _weighed(detector_input, concepts, scale), {}
    activations, computed = detector_input.computed[key]
    return replace(detector_input, activations=activations, computed=computed)


def _weighed(
    detector_input: DetectorInput, concepts: tuple[Concept, ...], scale: float
) -> FeatureActivations:
    activations, ids = detector_input.activations, tuple(concept.id for concept in concepts)
    owners = meaning_owners(concepts, activations.d_sae)
    values = activations.values.copy()
    for token in range(len(activations.prompts[0].token_ids)):
        word = token_word(detector_input, token).lower()
        firings = slice(*activations.indptr[[token, token + 1]])
        fits = _described(ids, word)[owners[activations.features[firings]]]
        values[firings] *= np.where(fits, np.float32(1), np.float32(scale))
    return replace(activations, values=values)


@lru_cache(maxsize=8192)
def _described(ids: Sequence[str], word: str) -> "Bool[np.ndarray, ' concept_or_none']":
    """Returns whether each concept's name fits a word, or tells of no words; True for none."""
    fits = [not tells_of_words(name) or bool(describes(name, word)) for name in ids]
    return np.array([*fits, True])
