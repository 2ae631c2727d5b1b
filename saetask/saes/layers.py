"""Activations at a few places of prompts, of every layer, and of an SAE at its own."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.data.rendering import RenderedPrompt
from saetask.models.forward import batches_by_length, right_padded
from saetask.models.hooks import hook_names_by_layer, read_hooks
from saetask.models.loading import model_tokenizer
from saetask.saes.encoding import encode_rows, input_hook, ordinary_tokens, sae_view
from saetask.saes.extraction import TOKENS_PER_BATCH

if TYPE_CHECKING:
    from jaxtyping import Float32
    from sae_lens import SAE
    from scipy.sparse import csr_matrix

    from saetask.models.loading import Model


class PlaceActivations(NamedTuple):
    """Activations of prompts at one place."""

    raw: "Float32[np.ndarray, 'layer prompt width']"
    """Mean over the place's tokens."""
    features: "csr_matrix"
    """The SAE's features, `[prompt, d_sae]`: log(1 + strongest activation on the place's tokens).
    """


def layer_hooks(model: "Model", sae: "SAE[Any]") -> list[str]:
    """Returns the hook points of the SAE's kind in every block; its own alone if it is in none."""
    own = input_hook(sae)
    return [name for (name,) in hook_names_by_layer(model, [own]).values()] or [own]


def read_places(
    model: "Model",
    sae: "SAE[Any]",
    prompts: Sequence[RenderedPrompt],
    places: Sequence[Sequence[Sequence[int]]],
    advance: Callable[[int], object],
) -> list[PlaceActivations]:
    """Reads every layer of prompts at some places, in one forward pass a batch.

    Special tokens are left out of a place that has others.

    Args:
        model: The model.
        sae: An SAE that fits it; its hook point says what is read of each layer.
        prompts: The prompts.
        places: By place and prompt: the indices of tokens.
        advance: Told how many prompts were read.
    """
    import torch

    hooks, special = layer_hooks(model, sae), set(model_tokenizer(model).all_special_ids)
    own = input_hook(sae)
    raw: list[list[Any]] = [[None] * len(prompts) for _ in places]
    pooled: list[list[Any]] = [[None] * len(prompts) for _ in places]
    lengths = [len(prompt.token_ids) for prompt in prompts]
    for batch in batches_by_length(lengths, max_tokens=TOKENS_PER_BATCH):
        tokens = right_padded([prompts[i].token_ids for i in batch])
        read = read_hooks(model, tokens, list(dict.fromkeys([*hooks, own])))
        layers = torch.stack([sae_rows(sae, read[name]) for name in hooks])
        inputs = [sae_rows(sae, read[own])[n, : lengths[i]] for n, i in enumerate(batch)]
        kept = [
            ordinary_tokens(torch.tensor(prompts[i].token_ids), row, sae, special)
            for i, row in zip(batch, inputs)
        ]
        encoded = encode_rows(sae, inputs, kept)
        for n, i in enumerate(batch):
            for place, chosen in enumerate(places):
                ids = prompts[i].token_ids
                at = [t for t in chosen[i] if ids[t] not in special] or list(chosen[i])
                raw[place][i] = layers[:, n, at].float().mean(1).cpu().numpy()
                pooled[place][i] = _strongest(encoded[n], at, sae.cfg.d_sae)
        advance(len(batch))
    return [
        PlaceActivations(np.stack(means, 1), _stacked(rows)) for means, rows in zip(raw, pooled)
    ]


def sae_rows(sae: "SAE[Any]", activations: Any) -> Any:
    """Returns the part of a batch that an SAE reads, `[batch, pos, d_in]`."""
    from einops import rearrange

    batch = activations.shape[0]
    flat = rearrange(activations, "batch pos width -> (batch pos) width")
    return rearrange(
        sae_view(sae, flat, sae.cfg.d_in), "(batch pos) d_in -> batch pos d_in", batch=batch
    )


def _strongest(encoded: Any, tokens: Sequence[int], d_sae: int) -> "csr_matrix":
    """Returns log(1 + strongest activation) of each feature on some tokens, `[1, d_sae]`."""
    from scipy.sparse import csr_matrix

    there = np.isin(encoded.positions, tokens)
    strongest = np.zeros(d_sae, dtype=np.float32)
    np.maximum.at(strongest, encoded.features[there], encoded.values[there])
    return csr_matrix(np.log1p(strongest))


def _stacked(rows: Sequence["csr_matrix"]) -> "csr_matrix":
    from scipy.sparse import csr_matrix, vstack

    return csr_matrix(vstack(rows))
