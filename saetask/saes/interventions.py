"""The causal test: does the model use a feature where it fires?

A label says what sets a feature off, not that the model makes anything of it. Here the feature is
taken out of the activation (ablated) and added once more (amplified) where it fires, and the
log-probability of the text's own next tokens is measured, against edits of the same length, at the
same positions, in random directions. A feature whose removal does no more than those is not shown
to matter to the model, whatever its label says.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.models.hooks import log_probabilities_with_edit
from saetask.saes.encoding import contribution, output_hook, sae_view
from saetask.saes.metrics import read_reconstruction_inputs

if TYPE_CHECKING:
    import torch
    from sae_lens import SAE

    from saetask.models.loading import Model

N_DIRECTIONS = 8


def random_directions(
    width: int, seed: Sequence[int], n_directions: int = N_DIRECTIONS
) -> "torch.Tensor":
    """Returns unit vectors drawn evenly from the sphere, `[n_directions, width]`, float32."""
    import torch

    drawn = np.random.default_rng(seed).standard_normal((n_directions, width))
    return torch.nn.functional.normalize(torch.tensor(drawn, dtype=torch.float32), dim=-1)


class Edited(NamedTuple):
    """A text under every edit of a feature."""

    log_probabilities: np.ndarray
    """Of each next token, in nats, `[3 + n_directions, pos - 1]`, float64: unedited, ablated,
    amplified, and each random direction."""
    firing: np.ndarray
    """Does the feature fire? `[pos]`, bool."""


def edit_feature(
    model: "Model",
    sae: "SAE[Any]",
    token_ids: Sequence[int],
    feature: int,
    directions: "torch.Tensor",
    n_edited: int | None = None,
) -> Edited:
    """Edits one feature wherever it fires in a text.

    Args:
        model: The model.
        sae: An SAE that fits it.
        token_ids: The text, with BOS where the model has one.
        feature: The feature to edit.
        directions: Random unit vectors, `[n_directions, d_out]`; edits in them are of its length.
        n_edited: Edit the first so many tokens only; None edits all.

    Raises:
        UserError: The model has no such hook point, or never reaches it.
    """
    import torch

    pair = read_reconstruction_inputs(model, sae, list(token_ids))
    kept = pair.kept & (torch.arange(len(pair.kept)) < (n_edited or len(pair.kept)))
    added = contribution(sae, pair.inputs, kept, feature)
    lengths = added.norm(dim=-1)
    random = lengths[None, :, None] * directions.to(added)[:, None, :]
    edits = torch.cat([torch.stack([torch.zeros_like(added), -added, added]), random])

    def edited(activation: "torch.Tensor") -> "torch.Tensor":
        changed = activation.clone(memory_format=torch.contiguous_format)
        for row, edit in zip(changed, edits):
            view = sae_view(sae, row.flatten(1), edit.shape[-1])
            view += edit.to(view)
        return changed

    rows = [token_ids] * len(edits)
    found = log_probabilities_with_edit(model, rows, output_hook(sae), edited)
    return Edited(found.cpu().numpy().astype(float), lengths.cpu().numpy() > 0)
