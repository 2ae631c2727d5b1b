"""Nearest neighbours of each feature: by decoder direction and by coactivation."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.saes.activations import TokenActivations

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Float32, Int32

NEIGHBOURS = 5
FEATURES_PER_BLOCK = 512
COACTIVATION_TOKENS = 20_000
"""Maximum number of tokens that coactivation is counted on."""


class Neighbours(NamedTuple):
    """The nearest features of each feature, nearest first."""

    features: "Int32[np.ndarray, 'd_sae NEIGHBOURS']"
    similarities: "Float32[np.ndarray, 'd_sae NEIGHBOURS']"


def neighbours_by_direction(directions: "Float[torch.Tensor, 'd_sae width']") -> Neighbours:
    """Returns the nearest features by cosine similarity of (decoder) directions."""
    import torch

    directions = torch.nn.functional.normalize(directions.detach().float().cpu(), dim=1)
    blocks = (block @ directions.T for block in directions.split(FEATURES_PER_BLOCK))
    return _nearest((block.numpy() for block in blocks), len(directions))


def neighbours_by_coactivation(activations: TokenActivations) -> Neighbours:
    """Returns the nearest features by Jaccard index: tokens of both over tokens of either."""
    active = activations.matrix()[:COACTIVATION_TOKENS].astype(bool).astype(np.float32).tocsc()
    counts = np.asarray(active.sum(0)).ravel()

    def blocks() -> "Iterable[Float32[np.ndarray, 'block d_sae']]":
        for start in range(0, activations.d_sae, FEATURES_PER_BLOCK):
            block = active[:, start : start + FEATURES_PER_BLOCK]
            both = (block.T @ active).toarray()
            either = counts[start : start + FEATURES_PER_BLOCK, None] + counts - both
            yield both / np.maximum(either, 1)

    return _nearest(blocks(), activations.d_sae)


def _nearest(blocks: "Iterable[Float32[np.ndarray, 'block d_sae']]", d_sae: int) -> Neighbours:
    """Returns the most similar other features, given similarities some rows at a time."""
    features, similarities, start = [], [], 0
    n = min(NEIGHBOURS, d_sae - 1)
    for block in blocks:
        rows = np.arange(len(block))
        block[rows, start + rows] = -np.inf
        order = np.argsort(-block, axis=1, kind="stable")[:, :n]
        features.append(order.astype(np.int32))
        similarities.append(np.take_along_axis(block, order, axis=1).astype(np.float32))
        start += len(block)
    return Neighbours(np.concatenate(features), np.concatenate(similarities))
