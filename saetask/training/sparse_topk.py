"""TopK training SAE whose forward and backward passes compute only the k selected features.

SAE-Lens multiplies all `d_sae` features in six dense products a step; the same loss and gradients
need one dense product (the encoder's) and sums over k rows of the weights.
"""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
from sae_lens.saes.topk_sae import TopKTrainingSAE

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class _SparseReconstruction(torch.autograd.Function):
    """`relu(x @ W_enc + b_enc) @ W_dec`, over the k features of largest activation times norm."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        x: "Float[torch.Tensor, 'batch d_in']",
        W_enc: "Float[torch.Tensor, 'd_in d_sae']",
        b_enc: "Float[torch.Tensor, 'd_sae']",
        W_dec: "Float[torch.Tensor, 'd_sae d_in']",
        norms: "Float[torch.Tensor, 'd_sae']",
        k: int,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Returns the reconstruction `[batch, d_in]`, and values and indices `[batch, k]`."""
        hidden_pre = torch.addmm(b_enc, x, W_enc)
        chosen = (hidden_pre * norms).topk(k, dim=-1, sorted=False).indices
        values = hidden_pre.gather(1, chosen).relu_()
        ctx.save_for_backward(x, W_enc, W_dec, chosen, values)
        ctx.mark_non_differentiable(values, chosen)
        return _weighted_rows(chosen, W_dec, values), values, chosen

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: "Float[torch.Tensor, 'batch d_in']", *_: object
    ) -> tuple[torch.Tensor | None, ...]:
        """Returns the gradients of x, W_enc, b_enc and W_dec."""
        x, W_enc, W_dec, chosen, values = ctx.saved_tensors
        batch, k = chosen.shape
        d_sae = len(W_dec)
        grad = grad.contiguous()
        pattern = torch.sparse_csr_tensor(
            torch.arange(0, batch * k + 1, k),
            chosen.flatten(),
            torch.zeros(batch * k),
            (batch, d_sae),
            check_invariants=False,
        )
        dot = torch.sparse.sampled_addmm(pattern, grad, W_dec.T).values().view(batch, k)
        grad_pre = dot * (values > 0)
        # The same entries listed by feature instead of by row.
        order = chosen.flatten().argsort(stable=True)
        rows = order // k
        starts = torch.bincount(chosen.flatten(), minlength=d_sae).cumsum(0).roll(1)
        starts[0] = 0

        def sums_by_feature(weights: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
            by_feature = weights.flatten()[order]
            return F.embedding_bag(rows, vectors, starts, mode="sum", per_sample_weights=by_feature)

        grad_b_enc = torch.zeros(d_sae).index_add_(0, chosen.flatten(), grad_pre.flatten())
        grad_W_enc = sums_by_feature(grad_pre, x).T.contiguous()
        grad_W_dec = sums_by_feature(values, grad)
        grad_x = _weighted_rows(chosen, W_enc.T.contiguous(), grad_pre)
        return grad_x, grad_W_enc, grad_b_enc, grad_W_dec, None, None


def _weighted_rows(
    chosen: "Int[torch.Tensor, 'batch k']",
    matrix: "Float[torch.Tensor, 'd_sae d_in']",
    weights: "Float[torch.Tensor, 'batch k']",
) -> "Float[torch.Tensor, 'batch d_in']":
    """Sums the chosen rows of a matrix, weighted."""
    return F.embedding_bag(chosen, matrix, mode="sum", per_sample_weights=weights)


class SparseTopKTrainingSAE(TopKTrainingSAE):
    """SAE-Lens's `TopKTrainingSAE` with the same loss and gradients, for float32 on the CPU."""

    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        """Returns the loss and the activations of one training step; see the parent class."""
        x = self.process_sae_in(step_input.sae_in)
        norms = self.W_dec.norm(dim=-1).detach()
        if not self.cfg.rescale_acts_by_decoder_norm:
            norms = torch.ones_like(norms)
        reconstruction, values, chosen = _SparseReconstruction.apply(
            x, self.W_enc, self.b_enc, self.W_dec, norms, self.cfg.k
        )
        sae_out = reconstruction + self.b_dec
        mse_loss = self.mse_loss_fn(sae_out, step_input.sae_in).sum(dim=-1).mean()
        auxiliary_loss = self._auxiliary_loss(step_input, x, sae_out)
        rows = torch.arange(len(chosen)).repeat_interleave(self.cfg.k)
        feature_acts = torch.sparse_coo_tensor(
            torch.stack([rows, chosen.flatten()]),
            (values * norms[chosen]).flatten(),
            (len(chosen), self.cfg.d_sae),
            check_invariants=False,
        )
        return TrainStepOutput(
            sae_in=step_input.sae_in,
            sae_out=sae_out,
            feature_acts=feature_acts,
            hidden_pre=values,
            loss=mse_loss + auxiliary_loss,
            losses={"mse_loss": mse_loss, "auxiliary_reconstruction_loss": auxiliary_loss},
        )

    def _auxiliary_loss(
        self, step_input: TrainStepInput, x: torch.Tensor, sae_out: torch.Tensor
    ) -> torch.Tensor:
        """Returns the loss of reconstructing the residual by dead features.

        Gao et al. 2024, appendix A.2.
        """
        mask = step_input.dead_neuron_mask
        if mask is None or not mask.any():
            return sae_out.new_tensor(0.0)
        dead = mask.nonzero()[:, 0]
        half = self.cfg.d_in // 2
        W_dec = self.W_dec[dead]
        norms = W_dec.norm(dim=-1) if self.cfg.rescale_acts_by_decoder_norm else 1.0
        hidden_pre = (x @ self.W_enc[:, dead] + self.b_enc[dead]) * norms
        top = hidden_pre.topk(min(half, len(dead)), sorted=False)
        acts = torch.zeros_like(hidden_pre).scatter(-1, top.indices, top.values) / norms
        residual = (step_input.sae_in - sae_out).detach()
        loss = (acts @ W_dec - residual).pow(2).sum(dim=-1).mean()
        return self.cfg.aux_loss_coefficient * min(len(dead) / half, 1.0) * loss
