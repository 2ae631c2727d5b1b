"""The lower limit of feature extraction: its computation, and nothing around it.

The forward pass of transformers' own model through the layers below the hook point, and one product
with the encoder's weights. Tokens are ready, in batches of rows of similar length.
"""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from saetask.models.forward import batches_by_length, right_padded

from .subject import Subject
from .today import layers_to_hook

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int

ROWS_PER_BATCH = 16


class Bare:
    """A model without the layers above a hook point, and the encoder of an SAE there."""

    def __init__(self, subject: Subject) -> None:
        """Removes the layers; the weights are shared.

        Raises:
            ValueError: The SAE's hook point is in no block.
        """
        import torch

        body: Any = copy.copy(subject.hf_model.model)
        body._modules = dict(body._modules)
        body.layers = body.layers[: layers_to_hook(subject.sae)]
        body.norm = torch.nn.Identity()
        self._body, self._whole = body, subject.hf_model
        self._W_enc = subject.sae.W_enc.detach()

    def activations(self, tokens: "Int[torch.Tensor, 'row pos']") -> "torch.Tensor":
        """Returns the residual stream at the end of the last layer, `[row, pos, d_in]`."""
        import torch

        with torch.inference_mode():
            return self._body(input_ids=tokens, use_cache=False).last_hidden_state

    def encoded(self, tokens: "Int[torch.Tensor, 'row pos']") -> "Float[torch.Tensor, 'row pos f']":
        """Returns the activations times the encoder's weights."""
        import torch

        with torch.inference_mode():
            return self.activations(tokens).to(self._W_enc) @ self._W_enc

    def answered(self, tokens: "Int[torch.Tensor, 'row pos']") -> "torch.Tensor":
        """Returns what `encoded` does, after a pass that ends with the last token's logits."""
        import torch

        with torch.inference_mode():
            whole = self._whole(
                input_ids=tokens, use_cache=False, logits_to_keep=1, output_hidden_states=True
            )
            return whole.hidden_states[len(self._body.layers)].to(self._W_enc) @ self._W_enc


def batched(rows: Sequence[Sequence[int]]) -> "list[torch.Tensor]":
    """Stacks rows of tokens in batches of similar length, padded on the right."""
    batches = batches_by_length([len(row) for row in rows], ROWS_PER_BATCH)
    return [right_padded([rows[i] for i in batch]) for batch in batches]
