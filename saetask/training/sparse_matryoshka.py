"""Matryoshka BatchTopK training SAE whose passes compute only the selected features."""

from typing import TYPE_CHECKING

import torch
from einops import rearrange
from sae_lens.saes.matryoshka_batchtopk_sae import MatryoshkaBatchTopKTrainingSAE
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput

from saetask.training.sparse_reconstruction import (
    Chosen,
    active_features,
    dead_features_loss,
    reconstruct,
    selection_norms,
)

if TYPE_CHECKING:
    from jaxtyping import Float, Int

CANDIDATES_ABOVE = 0.7
"""The batch's largest scores are searched above this share of the mean threshold so far."""


class SparseMatryoshkaTrainingSAE(MatryoshkaBatchTopKTrainingSAE):
    """SAE-Lens's class with the same loss and gradients, for float32 on the CPU.

    `use_matryoshka_aux_loss` is not supported.
    """

    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        """Returns the loss and the activations of one training step; see the parent class."""
        x = self.process_sae_in(step_input.sae_in)
        norms = selection_norms(self)
        widths = self.cfg.matryoshka_widths
        ends = torch.tensor(widths)

        def choose(hidden_pre: "Float[torch.Tensor, 'batch d_sae']") -> Chosen:
            batch, d_sae = hidden_pre.shape
            scores = (hidden_pre * norms).flatten()
            above = CANDIDATES_ABOVE * self.topk_threshold.item()
            indices = largest(scores, int(self.cfg.k * batch), above)
            features = indices % d_sae
            rows = indices // d_sae * len(widths) + torch.bucketize(features, ends, right=True)
            starts = torch.zeros(batch * len(widths) + 1, dtype=torch.long)
            starts[1:] = torch.bincount(rows, minlength=len(starts) - 1).cumsum(0)
            return Chosen(features, starts, hidden_pre.flatten()[indices].relu_())

        by_level, chosen = reconstruct(x, self.W_enc, self.b_enc, self.W_dec, choose)
        levels = rearrange(by_level, "(batch level) d_in -> level batch d_in", batch=len(x))
        reconstructions = levels.cumsum(0) + self.b_dec
        sae_out = reconstructions[-1]
        errors = self.mse_loss_fn(reconstructions, step_input.sae_in.expand_as(reconstructions))
        *inner, mse_loss = errors.sum(dim=-1).mean(dim=-1)
        losses = {
            "mse_loss": mse_loss,
            "auxiliary_reconstruction_loss": dead_features_loss(
                self, x, step_input.sae_in - sae_out, step_input.dead_neuron_mask
            ),
            **{f"inner_mse_loss_{width}": loss for width, loss in zip(widths, inner)},
        }
        self.update_topk_threshold(chosen.values * norms[chosen.features])
        return TrainStepOutput(
            sae_in=step_input.sae_in,
            sae_out=sae_out,
            feature_acts=active_features(chosen, norms, len(x)),
            hidden_pre=chosen.values,
            loss=torch.stack(list(losses.values())).sum(),
            losses=losses,
            metrics={"topk_threshold": self.topk_threshold},
        )


def largest(
    scores: "Float[torch.Tensor, 'entry']", n: int, above: float
) -> "Int[torch.Tensor, 'n']":
    """Returns the indices of the n largest scores, ascending.

    Args:
        scores: The scores, in one dimension.
        n: How many to choose.
        above: If at least n scores are above it, only these are compared, which is faster.
    """
    candidates = (scores > above).nonzero()[:, 0]
    if len(candidates) < n:
        return scores.topk(n, sorted=False).indices.sort().values
    chosen = scores[candidates].topk(n, sorted=False).indices
    return candidates[chosen].sort().values
