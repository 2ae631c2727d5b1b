"""Reconstruction by the chosen features alone: sums over rows of the weights, not dense products.

SAE-Lens multiplies all `d_sae` features in six dense products a step; the same loss and gradients
need one dense product (the encoder's) and sums over the chosen features' rows.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class Chosen(NamedTuple):
    """Features chosen in a batch, listed by row; an item may have several rows, its levels."""

    features: "Int[torch.Tensor, 'entry']"
    starts: "Int[torch.Tensor, 'row_and_end']"
    """Where each row's features start, and the number of all."""
    values: "Float[torch.Tensor, 'entry']"
    """Pre-activations, at least 0."""

    @property
    def rows(self) -> "Int[torch.Tensor, 'entry']":
        """The row of each chosen feature."""
        return torch.arange(len(self.starts) - 1).repeat_interleave(self.starts.diff())


Choose = Callable[[torch.Tensor], Chosen]
"""Chooses features, given the pre-activations `[batch, d_sae]`."""


class _SparseReconstruction(torch.autograd.Function):
    """`values @ W_dec` for every row, where `values` are those of the chosen features."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        x: "Float[torch.Tensor, 'batch d_in']",
        W_enc: "Float[torch.Tensor, 'd_in d_sae']",
        b_enc: "Float[torch.Tensor, 'd_sae']",
        W_dec: "Float[torch.Tensor, 'd_sae d_in']",
        choose: Choose,
    ) -> tuple[torch.Tensor, ...]:
        """Returns the reconstruction `[row, d_in]`, and the parts of `Chosen`."""
        chosen = choose(torch.addmm(b_enc, x, W_enc))
        ctx.save_for_backward(x, W_enc, W_dec, *chosen)
        ctx.mark_non_differentiable(*chosen)
        return _weighted_rows(chosen.features, chosen.starts[:-1], W_dec, chosen.values), *chosen

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: "Float[torch.Tensor, 'row d_in']", *_: object
    ) -> tuple[torch.Tensor | None, ...]:
        """Returns the gradients of x, W_enc, b_enc and W_dec."""
        x, W_enc, W_dec, *parts = ctx.saved_tensors
        chosen = Chosen(*parts)
        features, d_sae, n_rows = chosen.features, len(W_dec), len(chosen.starts) - 1
        rows_an_item = n_rows // len(x)
        grad = grad.contiguous()
        pattern = torch.sparse_csr_tensor(
            chosen.starts,
            features,
            torch.zeros(len(features)),
            (n_rows, d_sae),
            check_invariants=False,
        )
        dot = torch.sparse.sampled_addmm(pattern, grad, W_dec.T).values()
        grad_pre = dot * (chosen.values > 0)
        # The same entries listed by feature instead of by row.
        order = features.argsort(stable=True)
        rows = chosen.rows[order]
        starts = torch.bincount(features, minlength=d_sae).cumsum(0).roll(1)
        starts[0] = 0
        grad_b_enc = torch.zeros(d_sae).index_add_(0, features, grad_pre)
        grad_W_enc = _weighted_rows(rows // rows_an_item, starts, x, grad_pre[order])
        grad_W_dec = _weighted_rows(rows, starts, grad, chosen.values[order])
        items = chosen.starts[:-1:rows_an_item]
        grad_x = _weighted_rows(features, items, W_enc.T.contiguous(), grad_pre)
        return grad_x, grad_W_enc.T.contiguous(), grad_b_enc, grad_W_dec, None


def reconstruct(
    x: "Float[torch.Tensor, 'batch d_in']",
    W_enc: "Float[torch.Tensor, 'd_in d_sae']",
    b_enc: "Float[torch.Tensor, 'd_sae']",
    W_dec: "Float[torch.Tensor, 'd_sae d_in']",
    choose: Choose,
) -> "tuple[Float[torch.Tensor, 'row d_in'], Chosen]":
    """Returns the differentiable reconstruction of each row, and what was chosen; float32, CPU."""
    reconstruction, *parts = _SparseReconstruction.apply(x, W_enc, b_enc, W_dec, choose)
    return reconstruction, Chosen(*parts)


def selection_norms(sae: Any) -> "Float[torch.Tensor, 'd_sae']":
    """Returns what pre-activations are multiplied by to choose features; no gradient."""
    norms = sae.W_dec.norm(dim=-1).detach()
    return norms if sae.cfg.rescale_acts_by_decoder_norm else torch.ones_like(norms)


def active_features(
    chosen: Chosen, norms: "Float[torch.Tensor, 'd_sae']", n_items: int
) -> torch.Tensor:
    """Returns the activations of a batch, as SAE-Lens scales them: sparse, `[item, d_sae]`."""
    rows_an_item = (len(chosen.starts) - 1) // n_items
    return torch.sparse_coo_tensor(
        torch.stack([chosen.rows // rows_an_item, chosen.features]),
        chosen.values * norms[chosen.features],
        (n_items, len(norms)),
        check_invariants=False,
    )


def dead_features_loss(
    sae: Any,
    x: "Float[torch.Tensor, 'batch d_in']",
    residual: "Float[torch.Tensor, 'batch d_in']",
    mask: "torch.Tensor | None",
) -> "Float[torch.Tensor, '']":
    """Returns the loss of reconstructing the residual by dead features.

    Gao et al. 2024, appendix A.2.

    Args:
        sae: A training SAE of SAE-Lens's TopK family.
        x: The encoder's input.
        residual: What the SAE leaves unexplained.
        mask: Which features are dead, `[d_sae]`.
    """
    if mask is None or not mask.any():
        return residual.new_tensor(0.0)
    dead = mask.nonzero()[:, 0]
    half = sae.cfg.d_in // 2
    W_dec = sae.W_dec[dead]
    norms = W_dec.norm(dim=-1) if sae.cfg.rescale_acts_by_decoder_norm else 1.0
    hidden_pre = (x @ sae.W_enc[:, dead] + sae.b_enc[dead]) * norms
    top = hidden_pre.topk(min(half, len(dead)), sorted=False)
    acts = torch.zeros_like(hidden_pre).scatter(-1, top.indices, top.values) / norms
    loss = (acts @ W_dec - residual.detach()).pow(2).sum(dim=-1).mean()
    return sae.cfg.aux_loss_coefficient * min(len(dead) / half, 1.0) * loss


def _weighted_rows(
    chosen: "Int[torch.Tensor, 'entry']",
    starts: "Int[torch.Tensor, 'sum']",
    matrix: "Float[torch.Tensor, 'row d_in']",
    weights: "Float[torch.Tensor, 'entry']",
) -> "Float[torch.Tensor, 'sum d_in']":
    """Sums the chosen rows of a matrix, weighted; each sum's entries begin at its start."""
    return F.embedding_bag(chosen, matrix, starts, mode="sum", per_sample_weights=weights)
