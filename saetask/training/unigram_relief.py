"""A loss that frees some features from reconstructing which token stands where.

An SAE without a table of tokens spends many features on single tokens (Dooms and Wilhelm 2025,
arXiv 2502.17332). Here the first features have a second loss: together with the mean activation of
each token, they alone are to reconstruct the activations. So they gain nothing from telling tokens
apart. All features together reconstruct without the table, as ever, and what is saved is a plain
SAE.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int
    from sae_lens import TrainingSAE
    from sae_lens.saes.sae import TrainStepInput, TrainStepOutput

    from saetask.training.activation_store import TrainingData

PRIOR_COUNT = 10
"""Each token's mean is taken over its activations and so many of the overall mean."""
BLOCK = 8192


class TokenMeans:
    """The mean normalised activation of each token of a harvest, shrunk towards 0."""

    def __init__(self, data: "TrainingData") -> None:
        """Computes the means in one pass over the shards."""
        import torch

        tokens, self._places = data.shards.token_ids().unique(return_inverse=True)
        sums = torch.zeros(len(tokens), data.shards.d_in)
        for block in torch.arange(len(data.shards)).split(BLOCK):
            activations = data.normalised(data.shards.rows(block).to(data.mean.device))
            sums.index_add_(0, self._places[block], activations.cpu())
        counts = torch.bincount(self._places, minlength=len(tokens))
        self._means = sums / (counts + PRIOR_COUNT)[:, None]

    def at(self, indices: "Int[torch.Tensor, 'batch']") -> "Float[torch.Tensor, 'batch d_in']":
        """Returns the mean of the token that each activation of the harvest is of."""
        return self._means[self._places[indices]]


def relieve_unigrams(
    sae: "TrainingSAE[Any]",
    coefficient: float,
    n_features: int,
    means: "Iterator[Float[torch.Tensor, 'batch d_in']]",
) -> None:
    """Adds the second loss to an SAE's training steps.

    Args:
        sae: A TopK or BatchTopK SAE; its forward pass is replaced.
        coefficient: Multiplies the loss.
        n_features: Number of features, from the first on, that are relieved.
        means: Yields the token means that belong to the activations of each step.
    """
    forward = sae.training_forward_pass
    topk: Any = sae  # which has the weights that not every training SAE has

    def forward_with_relief(step_input: "TrainStepInput") -> "TrainStepOutput":
        output = forward(step_input)
        acts = output.feature_acts.detach()
        active = (acts.to_dense() if acts.is_sparse else acts)[:, :n_features] > 0
        inputs = sae.process_sae_in(step_input.sae_in)
        hidden_pre = inputs @ topk.W_enc[:, :n_features] + topk.b_enc[:n_features]
        context = (hidden_pre.relu() * active) @ topk.W_dec[:n_features] + topk.b_dec
        error = next(means).to(context) + context - step_input.sae_in
        loss = coefficient * error.pow(2).sum(-1).mean()
        output.losses["unigram_relief"] = loss
        output.loss = output.loss + loss
        return output

    sae.training_forward_pass = forward_with_relief
