"""Tokens of the pass under way, for hooks that treat special tokens apart.

A hook point hands over an activation and not the tokens that it is of. In generation with a
key-value cache these are the new tokens alone, and in a padded batch the padding is among them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError
from saetask.models.loading import model_name

if TYPE_CHECKING:
    import torch
    from jaxtyping import Int

    from saetask.models.loading import Model


class PassTokens:
    """The tokens that a model embedded last."""

    def __init__(self, model: "Model") -> None:
        self._model = model
        self._embedded: list[torch.Tensor] = []
        """Tokens of the last pass, and those that were embedded since."""

    def of(self, activation: "torch.Tensor") -> "Int[torch.Tensor, 'batch pos']":
        """Returns the tokens that an activation of the pass under way is of, on the CPU.

        Args:
            activation: What a hook gets, `[batch, pos, ...]`.

        Raises:
            UserError: The pass began with other things than tokens: with embeddings, say.
        """
        import torch

        batch, length = activation.shape[:2]
        # `HookedTransformer.generate` embeds new tokens alone and runs, without a cache, all.
        for first in reversed(range(len(self._embedded))):
            parts = self._embedded[first:]
            if sum(part.shape[1] for part in parts) == length and parts[0].shape[0] == batch:
                self._embedded = [torch.cat(parts, 1)]
                return self._embedded[0]
        raise UserError(
            f"An edit of {model_name(self._model)} needs passes that begin with token ids; this "
            "one began with something else."
        )

    def keep(self, module: Any, arguments: tuple[Any, ...]) -> None:
        """Keeps the tokens that the embedding is given; a hook of torch."""
        token_ids = arguments[0].detach().cpu()
        if self._embedded and len(self._embedded[0]) != len(token_ids):
            self._embedded.clear()
        self._embedded.append(token_ids)


@contextmanager
def pass_tokens(model: "Model") -> Iterator[PassTokens]:
    """Keeps the tokens of each pass within the context."""
    tokens = PassTokens(model)
    handle = _embedding(model).register_forward_pre_hook(tokens.keep)
    try:
        yield tokens
    finally:
        handle.remove()


def _embedding(model: Any) -> Any:
    """Returns the module that embeds tokens: below a bridge's wrapper, which may be bypassed."""
    hf_model = getattr(model, "original_model", None)
    if hf_model is None:
        return model.embed
    embedding = hf_model.get_input_embeddings()
    return getattr(embedding, "original_component", embedding)
