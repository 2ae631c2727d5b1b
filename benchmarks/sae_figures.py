"""Figures of an SAE beside those of probes: its error, its unigrams, its stability over seeds."""

from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.saes.encoding import encode_rows
from saetask.saes.metrics import measure

if TYPE_CHECKING:
    from sae_lens import SAE

    from saetask.training.activation_store import ActivationShards

FEWEST_FIRINGS = 10
"""A feature with fewer firings has no unigram share."""
SAME_DIRECTION = 0.7
"""Least cosine of two decoder directions that count as one feature."""
BATCH = 1024


def sae_quality(sae: "SAE[Any]", held_out: "ActivationShards") -> dict[str, Any]:
    """Returns how an SAE reconstructs held-out activations, and how much of it is unigrams."""
    import torch

    batches = torch.arange(len(held_out)).split(BATCH)
    quality = measure(sae, (held_out.rows(i) for i in batches))
    inputs = [held_out.rows(i) for i in batches]
    encoded = encode_rows(sae, inputs, [torch.ones(len(i), dtype=torch.bool) for i in inputs])
    token_ids = held_out.token_ids().numpy()
    tokens = [token_ids[i.numpy()][own.positions] for i, own in zip(batches, encoded)]
    features = np.concatenate([own.features for own in encoded])
    shares = unigram_shares(features, np.concatenate(tokens), sae.cfg.d_sae)
    return {
        "normalised_mse": quality.normalised_mse,
        "fvu": quality.fvu,
        "l0": quality.l0,
        "sparsity": quality.l0 / sae.cfg.d_sae,
        "dead_share": 1 - quality.alive_share,
        "unigram_share": float(np.nanmedian(shares)),
        "unigram_features": float((shares[~np.isnan(shares)] > 0.5).mean()),
    }


def unigram_shares(features: np.ndarray, tokens: np.ndarray, d_sae: int) -> np.ndarray:
    """Returns the share of each feature's firings that are on its most frequent token.

    Args:
        features: Feature of each firing.
        tokens: Id of the token of each firing.
        d_sae: Number of features.

    Returns:
        `[d_sae]`; NaN of features with fewer than `FEWEST_FIRINGS` firings.
    """
    n_firings = np.bincount(features, minlength=d_sae)
    pairs = np.stack([features.astype(np.int64), tokens.astype(np.int64)])
    (owners, _), counts = np.unique(pairs, axis=1, return_counts=True)
    most = np.zeros(d_sae, dtype=np.int64)
    np.maximum.at(most, owners, counts)
    return np.where(n_firings >= FEWEST_FIRINGS, most / np.maximum(n_firings, 1), np.nan)


def same_direction_share(one: "SAE[Any]", other: "SAE[Any]") -> float:
    """Returns the share of an SAE's features that have a decoder direction of another SAE's."""
    import torch

    directions = [torch.nn.functional.normalize(s.W_dec.detach(), dim=-1) for s in (one, other)]
    nearest = (directions[0] @ directions[1].T).amax(-1)
    return float((nearest >= SAME_DIRECTION).float().mean())
