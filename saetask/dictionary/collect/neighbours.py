"""Which features are near each other: by decoder direction, and by firing together."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.saes.activations import TokenActivations

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float

NEIGHBOURS = 5
FEATURES_PER_BLOCK = 512
COACTIVATION_TOKENS = 20_000


class Neighbours(NamedTuple):
    """The nearest features of each feature, nearest first."""

    features: np.ndarray
    """`[d_sae, NEIGHBOURS]`, int32."""
    similarities: np.ndarray
    """`[d_sae, NEIGHBOURS]`, float32."""


def neighbours_by_direction(directions: "Float[torch.Tensor, 'd_sae width']") -> Neighbours:
    """Returns neighbours by cosine of (decoder) directions."""
    import torch

    directions = torch.nn.functional.normalize(directions.detach().float().cpu(), dim=1)
    blocks = (block @ directions.T for block in directions.split(FEATURES_PER_BLOCK))
    return _nearest((block.numpy() for block in blocks), len(directions))


def neighbours_by_coactivation(firings: TokenActivations) -> Neighbours:
    """Returns neighbours by the share of either's firings that are both's (Jaccard index)."""
    fires = firings.matrix()[:COACTIVATION_TOKENS].astype(bool).astype(np.float32).tocsc()
    counts = np.asarray(fires.sum(0)).ravel()

    def blocks():
        for start in range(0, firings.d_sae, FEATURES_PER_BLOCK):
            part = fires[:, start : start + FEATURES_PER_BLOCK]
            both = (part.T @ fires).toarray()
            either = counts[start : start + FEATURES_PER_BLOCK, None] + counts - both
            yield both / np.maximum(either, 1)

    return _nearest(blocks(), firings.d_sae)


def _nearest(blocks: Any, d_sae: int) -> Neighbours:
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
