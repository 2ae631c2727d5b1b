"""Vectors that are added to the activation at some tokens of a prompt."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.models.hooks import edited_hooks
from saetask.utils.files import content_hash

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float32

    from saetask.models.loading import Model


@dataclass(frozen=True, eq=False)
class Addition:
    """Vectors for one prompt."""

    hook_name: str
    """Where they are added, canonical or alias."""
    tokens: tuple[int, ...]
    """Indices of tokens of the prompt, ascending."""
    vectors: "Float32[np.ndarray, 'token width']"
    """What is added to the activation of each, heads flattened."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Addition) and self.key() == other.key()

    def __hash__(self) -> int:
        return hash(str(self.key()))

    @property
    def mean_norm(self) -> float:
        """Mean norm of the vectors; 0 without any."""
        return float(np.linalg.norm(self.vectors, axis=1).mean()) if self.tokens else 0.0

    def key(self) -> list[Any]:
        """Returns JSON values that tell this addition from others."""
        values = np.ascontiguousarray(self.vectors, dtype=np.float32)
        return [self.hook_name, list(self.tokens), content_hash(values.tobytes().hex())]


@contextmanager
def added(model: "Model", addition: Addition, n_tokens: int) -> Iterator[None]:
    """Adds vectors in every pass within the context that holds the whole prompt.

    Passes for further tokens of a generated answer hold less: there the keys and values of the
    prompt are those of its own pass.

    Args:
        model: The model; its own hooks stay as they are.
        addition: The vectors.
        n_tokens: Number of tokens of the prompt; it must come first in each row.

    Raises:
        UserError: The hook point does not exist, or no pass reached it.
    """
    import torch

    places, vectors = list(addition.tokens), torch.from_numpy(np.array(addition.vectors))

    def write(activation: "torch.Tensor") -> "torch.Tensor | None":
        if activation.shape[1] < n_tokens or not places:
            return None
        changed = activation.clone(memory_format=torch.contiguous_format)
        changed.flatten(2)[:, places] += vectors.to(changed)
        return changed

    with edited_hooks(model, [(addition.hook_name, write)]):
        yield
