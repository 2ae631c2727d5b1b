"""TopK training SAE whose forward and backward passes compute only the k selected features."""

from typing import TYPE_CHECKING

import torch
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
from sae_lens.saes.topk_sae import TopKTrainingSAE

from saetask.training.sparse_reconstruction import (
    Chosen,
    active_features,
    dead_features_loss,
    reconstruct,
    selection_norms,
)

if TYPE_CHECKING:
    from jaxtyping import Float


class SparseTopKTrainingSAE(TopKTrainingSAE):
    """SAE-Lens's `TopKTrainingSAE` with the same loss and gradients, for float32 on the CPU."""

    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        """Returns the loss and the activations of one training step; see the parent class."""
        x = self.process_sae_in(step_input.sae_in)
        norms = selection_norms(self)
        k = self.cfg.k

        def choose(hidden_pre: "Float[torch.Tensor, 'batch d_sae']") -> Chosen:
            features = (hidden_pre * norms).topk(k, dim=-1, sorted=False).indices
            values = hidden_pre.gather(1, features).relu_()
            starts = torch.arange(0, features.numel() + 1, k)
            return Chosen(features.flatten(), starts, values.flatten())

        reconstruction, chosen = reconstruct(x, self.W_enc, self.b_enc, self.W_dec, choose)
        sae_out = reconstruction + self.b_dec
        mse_loss = self.mse_loss_fn(sae_out, step_input.sae_in).sum(dim=-1).mean()
        auxiliary_loss = dead_features_loss(
            self, x, step_input.sae_in - sae_out, step_input.dead_neuron_mask
        )
        return TrainStepOutput(
            sae_in=step_input.sae_in,
            sae_out=sae_out,
            feature_acts=active_features(chosen, norms, len(x)),
            hidden_pre=chosen.values,
            loss=mse_loss + auxiliary_loss,
            losses={"mse_loss": mse_loss, "auxiliary_reconstruction_loss": auxiliary_loss},
        )
