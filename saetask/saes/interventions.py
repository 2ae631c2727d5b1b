"""Edits one feature in a forward pass: ablation, amplification, and random directions as controls.

A label says what activates a feature, not that the model uses it. Where the feature is active, its
contribution is removed from the activation (ablated) or added once more (amplified), and the
log-probability of the text's own next tokens is measured. Edits of the same length, at the same
positions, in random directions are the control: a feature whose ablation has no larger effect is
not shown to matter to the model.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.models.hooks import log_probabilities_with_edit
from saetask.saes.encoding import feature_contribution, output_hook, sae_view
from saetask.saes.metrics import read_reconstruction_inputs

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from sae_lens import SAE

    from saetask.models.loading import Model

N_DIRECTIONS = 8


def random_directions(
    width: int, seed: Sequence[int], n_directions: int = N_DIRECTIONS
) -> "Float[torch.Tensor, 'n_directions width']":
    """Returns unit vectors drawn uniformly from the sphere, float32."""
    import torch

    drawn = np.random.default_rng(seed).standard_normal((n_directions, width))
    return torch.nn.functional.normalize(torch.tensor(drawn, dtype=torch.float32), dim=-1)


class FeatureEdits(NamedTuple):
    """Next-token log-probabilities of a text under every edit of a feature."""

    log_probabilities: np.ndarray
    """In nats, `[3 + n_directions, pos - 1]`, float64; rows: unedited, ablated, amplified, and each
    random direction."""
    firing: np.ndarray
    """Whether the feature is active, `[pos]`, bool."""


def edit_feature(
    model: "Model",
    sae: "SAE[Any]",
    token_ids: Sequence[int],
    feature: int,
    directions: "Float[torch.Tensor, 'n_directions d_out']",
    n_edited: int | None = None,
) -> FeatureEdits:
    """Edits one feature wherever it is active in a text, one edit a row of a batch.

    Args:
        model: The model.
        sae: An SAE that fits it.
        token_ids: The text, with BOS where the model has one.
        feature: The feature to edit.
        directions: Random unit vectors; edits along them have the length of the contribution.
        n_edited: Number of leading tokens to edit; None edits all.

    Raises:
        UserError: The model has no such hook point, or never reaches it.
    """
    import torch
    from einops import einsum, rearrange

    row = read_reconstruction_inputs(model, sae, list(token_ids))
    n_edited = len(row.kept) if n_edited is None else n_edited
    kept = row.kept & (torch.arange(len(row.kept)) < n_edited)
    added = feature_contribution(sae, row.inputs, kept, feature)
    lengths = added.norm(dim=-1)
    random = einsum(lengths, directions.to(added), "pos, direction d_out -> direction pos d_out")
    edits = torch.cat([torch.stack([torch.zeros_like(added), -added, added]), random])

    def edited(activation: "torch.Tensor") -> "torch.Tensor":
        changed = activation.clone(memory_format=torch.contiguous_format)
        for text, edit in zip(changed, edits):
            view = sae_view(sae, rearrange(text, "pos ... -> pos (...)"), edit.shape[-1])
            view += edit.to(view)
        return changed

    log_probabilities = log_probabilities_with_edit(
        model, [token_ids] * len(edits), output_hook(sae), edited
    )
    return FeatureEdits(log_probabilities.cpu().numpy().astype(float), lengths.cpu().numpy() > 0)
