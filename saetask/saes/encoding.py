"""Encoding one prompt's activations with any SAE of SAE-Lens: which positions, and in what shape.

SAE-Lens leaves to its callers what an SAE was trained on (BOS or not, which positions, which
attention head) and how its reconstruction is had (a transcoder's skip, a temporal SAE's context).
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float
    from sae_lens import SAE

ENTRIES_AT_ONCE = 2**25
"""Feature activations of one product, at most: 128 MiB in float32."""


def input_hook(sae: "SAE[Any]") -> str:
    """Returns the name of the hook point that an SAE reads."""
    return sae.cfg.metadata.hook_name


def output_hook(sae: "SAE[Any]") -> str:
    """Returns the name of the hook point that an SAE reconstructs: a transcoder has another."""
    return sae.cfg.metadata.hook_name_out or input_hook(sae)


def writes_residual(sae: "SAE[Any]", d_model: int) -> bool:
    """Tells whether an SAE's decoder directions are directions of the residual stream."""
    kind = output_hook(sae).rpartition(".")[2]
    heads = kind in ("hook_z", "hook_q", "hook_k", "hook_v") or sae.hook_z_reshaping_mode
    return sae.W_dec.shape[1] == d_model and not heads


def reads_bos(sae: "SAE[Any]") -> bool:
    """Tells whether running text begins with the BOS token in front of this SAE.

    SAE-Lens trains on contexts that begin with BOS unless `prepend_bos` is false. Without it, the
    first token of a text takes over as attention sink and has an activation many times the usual.
    """
    return sae.cfg.metadata.prepend_bos is not False


def ordinary_tokens(
    token_ids: "torch.Tensor", activations: "torch.Tensor", sae: "SAE[Any]", special: set[int]
) -> "torch.Tensor":
    """Returns which positions an SAE is meant for: no special tokens, no norm outliers.

    Args:
        token_ids: `[pos]`.
        activations: `[pos, d_in]`.
        sae: Its metadata may hold the `norm_limit` and the `seqpos_slice` it was trained under.
        special: Ids of special tokens.
    """
    import torch

    kept = ~torch.isin(token_ids, torch.tensor(sorted(special)))
    kept &= _trained_positions(sae, len(token_ids))
    limit = sae.cfg.metadata.get("norm_limit")
    if limit is not None:
        kept &= activations.float().norm(dim=-1).cpu() <= limit
    return kept


def _trained_positions(sae: "SAE[Any]", length: int) -> "torch.Tensor":
    """Returns which positions of a row the SAE's `seqpos_slice` takes, `[pos]`.

    Negative bounds count from the end of the context that the SAE was trained on.
    """
    import torch

    kept = torch.zeros(length, dtype=torch.bool)
    context = sae.cfg.metadata.context_size or length
    bounds = slice(*(sae.cfg.metadata.seqpos_slice or (None,)))
    start, stop = (
        max(bound + context, 0) if bound is not None and bound < 0 else bound
        for bound in (bounds.start, bounds.stop)
    )
    kept[start : stop : bounds.step] = True
    return kept


def sae_view(sae: "SAE[Any]", activations: "torch.Tensor", d_in: int) -> "torch.Tensor":
    """Returns the part of an activation that an SAE is about: all of it, or one attention head.

    Args:
        sae: Its metadata may hold a `hook_head_index`.
        activations: `[pos, width]`, heads flattened.
        d_in: The part's width.

    Returns:
        A view, `[pos, d_in]` (or of whatever width the activation has, if that does not fit).
    """
    head = sae.cfg.metadata.hook_head_index
    if head is None or activations.shape[-1] % d_in or activations.shape[-1] == d_in:
        return activations
    return activations.unflatten(-1, (-1, d_in))[..., head, :]


def encode(
    sae: "SAE[Any]", inputs: "Float[torch.Tensor, 'pos d_in']", kept: "Bool[torch.Tensor, 'pos']"
) -> "Float[torch.Tensor, 'kept d_sae']":
    """Encodes one prompt's activations; returns the features of the positions that are kept."""
    given, chosen = _given(sae, inputs, kept)
    with _flat_heads(sae):
        features = sae.encode(given)
    return (features.to_dense() if features.is_sparse else features)[0, chosen]


class SparseFeatures(NamedTuple):
    """The features that are not zero, position after position."""

    positions: np.ndarray
    """`[n]`, int64, ascending."""
    features: np.ndarray
    """`[n]`, int32."""
    values: np.ndarray
    """`[n]`, float32."""


def encode_rows(
    sae: "SAE[Any]",
    inputs: "Sequence[Float[torch.Tensor, 'pos d_in']]",
    kept: "Sequence[Bool[torch.Tensor, 'pos']]",
) -> list[SparseFeatures]:
    """Encodes the activations of several prompts; only what is not zero leaves the SAE's device.

    Args:
        sae: The SAE.
        inputs: The activations of each prompt.
        kept: Which positions of each are encoded.
    """
    lengths, found = [len(row) for row in kept], []
    for part in _encoded_at_once(sae, lengths):
        found += _encode_together(sae, inputs[part], kept[part])
    return found


def _encoded_at_once(sae: "SAE[Any]", lengths: Sequence[int]) -> Iterator[slice]:
    """Yields runs of prompts that are encoded in one product."""
    first, size = 0, 0
    for i, length in enumerate(lengths):
        size += length * sae.cfg.d_sae
        if i > first and (size > ENTRIES_AT_ONCE or _attends(sae)):
            yield slice(first, i)
            first, size = i, length * sae.cfg.d_sae
    if lengths:
        yield slice(first, len(lengths))


def _encode_together(
    sae: "SAE[Any]", inputs: "Sequence[torch.Tensor]", kept: "Sequence[torch.Tensor]"
) -> Iterator[SparseFeatures]:
    import torch

    chosen = torch.cat(list(kept))
    with torch.inference_mode():
        encoded = encode(sae, torch.cat(list(inputs)), chosen)
        entries, indices = encoded.nonzero(as_tuple=True)
        values = encoded[entries, indices].float().cpu().numpy()
    features = indices.cpu().numpy().astype(np.int32)
    positions = chosen.nonzero()[:, 0][entries.cpu()].numpy()
    edges = np.cumsum([0, *(len(row) for row in kept)])
    for start, end in itertools.pairwise(edges):
        own = slice(*positions.searchsorted([start, end]))
        yield SparseFeatures(positions[own] - start, features[own], values[own])


def encode_and_decode(
    sae: "SAE[Any]", inputs: "Float[torch.Tensor, 'pos d_in']", kept: "Bool[torch.Tensor, 'pos']"
) -> "tuple[Float[torch.Tensor, 'kept d_sae'], Float[torch.Tensor, 'kept d_out']]":
    """Encodes one prompt's activations and reconstructs them (or a transcoder's output).

    Returns:
        The features and the reconstruction at the positions that are kept.
    """
    from sae_lens import SAE

    given, chosen = _given(sae, inputs, kept)
    with _flat_heads(sae):
        features = sae.encode(given)
        # SAE's own `forward` may add an error term; where it is overridden, decoding is not all.
        whole = type(sae).forward is not SAE.forward
        output = sae(given) if whole else sae.decode(features)
    features = features.to_dense() if features.is_sparse else features
    return features[0, chosen], output[0, chosen]


def contribution(
    sae: "SAE[Any]",
    inputs: "Float[torch.Tensor, 'pos d_in']",
    kept: "Bool[torch.Tensor, 'pos']",
    feature: int,
) -> "Float[torch.Tensor, 'pos d_out']":
    """Returns what one feature adds to the reconstruction: its activation times its direction.

    It is had by decoding with and without the feature, so that a normalisation undone by the
    decoder is in it. Positions that are not kept have zeros.
    """
    import torch

    given, chosen = _given(sae, inputs, kept)
    with torch.inference_mode(), _flat_heads(sae):
        features = sae.encode(given)
        features = features.to_dense() if features.is_sparse else features
        without = features.clone()
        without[..., feature] = 0
        # In one call: SAE-Lens forgets an input's norm once it has decoded.
        output = sae.decode(torch.cat([features, without]))
        added = (output[0] - output[1])[chosen]
        everywhere = added.new_zeros(len(kept), added.shape[-1])
        everywhere[kept.to(added.device)] = added
    return everywhere


def _attends(sae: "SAE[Any]") -> bool:
    """Tells whether an SAE (a temporal one) attends to the earlier positions of its prompt."""
    return hasattr(sae, "attn_layers")


def _given(
    sae: "SAE[Any]", inputs: "torch.Tensor", kept: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor | slice]":
    """Returns what to encode, as a batch of one, and which of its positions were asked for."""
    if _attends(sae):
        return inputs.to(sae.W_dec)[None], kept.to(sae.W_dec.device)
    return inputs[kept.to(inputs.device)].to(sae.W_dec)[None], slice(None)


@contextmanager
def _flat_heads(sae: "SAE[Any]") -> Iterator[None]:
    """Lets an SAE for attention heads (`hook_z`) take them flattened, as `read_hook` gives them."""
    if not sae.hook_z_reshaping_mode:
        yield
        return
    before = sae.reshape_fn_in, sae.reshape_fn_out, getattr(sae, "d_head", None)
    sae.turn_off_forward_pass_hook_z_reshaping()
    try:
        yield
    finally:
        sae.reshape_fn_in, sae.reshape_fn_out, sae.d_head = before
        sae.hook_z_reshaping_mode = True


@contextmanager
def unnormalised(sae: "SAE[Any]") -> Iterator[None]:
    """Lets an SAE that normalises its input when encoding take it as it is."""
    before = sae.run_time_activation_norm_fn_in, sae.run_time_activation_norm_fn_out
    sae.run_time_activation_norm_fn_in = sae.run_time_activation_norm_fn_out = lambda x: x
    try:
        yield
    finally:
        sae.run_time_activation_norm_fn_in, sae.run_time_activation_norm_fn_out = before
