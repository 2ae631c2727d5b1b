"""Sampling of texts that depends on each prompt and its seed alone, not on what is batched with it.

A token is drawn from the softmax of logits by adding Gumbel noise to them and taking the largest
(Gumbel 1954; Maddison et al. 2014, arXiv 1411.0030). Each prompt has a source of noise of its own.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int


class Sampling(NamedTuple):
    """How the texts after some prompts are drawn."""

    temperature: float
    """Logits are divided by it; above 0."""
    seeds: Sequence[int]
    """Of each prompt's noise."""


class GumbelNoise:
    """A logits processor of transformers: with it, greedy generation draws samples."""

    def __init__(self, sampling: Sampling) -> None:
        """Makes a source of noise for each prompt, on the CPU: the same on every device."""
        import torch

        self._temperature = sampling.temperature
        self._sources = [torch.Generator().manual_seed(seed) for seed in sampling.seeds]

    def keep(self, rows: Sequence[int]) -> None:
        """Goes on with some of the prompts, each with its own source."""
        self._sources = [self._sources[row] for row in rows]

    def __call__(
        self,
        input_ids: "Int[torch.Tensor, 'batch pos']",
        scores: "Float[torch.Tensor, 'batch vocab']",
    ) -> "Float[torch.Tensor, 'batch vocab']":
        """Returns the logits of the next tokens over the temperature, plus noise."""
        import torch

        size = scores.shape[1]
        draws = [torch.empty(size).exponential_(generator=source) for source in self._sources]
        noise = -torch.stack(draws).log()
        return scores / self._temperature + noise.to(scores.device, scores.dtype)
