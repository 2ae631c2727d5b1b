"""Encodes and decodes activations with any SAE of SAE-Lens.

SAE-Lens leaves some things to its callers: what an SAE was trained on (BOS or not, which
positions, which attention head) and how to get its reconstruction (a transcoder's skip connection,
a temporal SAE's context). They are handled here.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float, Int
    from sae_lens import SAE

ENTRIES_AT_ONCE = 2**25
"""Maximum number of feature activations computed in one product: 128 MiB in float32."""


def input_hook(sae: "SAE[Any]") -> str:
    """Returns the name of the hook point that an SAE reads."""
    return sae.cfg.metadata.hook_name


def output_hook(sae: "SAE[Any]") -> str:
    """Returns the name of the hook point that an SAE reconstructs; a transcoder's differs."""
    return sae.cfg.metadata.hook_name_out or input_hook(sae)


def writes_residual(sae: "SAE[Any]", d_model: int) -> bool:
    """Returns whether an SAE's decoder directions are directions of the residual stream."""
    kind = output_hook(sae).rpartition(".")[2]
    heads = kind in ("hook_z", "hook_q", "hook_k", "hook_v") or sae.hook_z_reshaping_mode
    return sae.W_dec.shape[1] == d_model and not heads


def reads_bos(sae: "SAE[Any]") -> bool:
    """Returns whether running text for this SAE begins with the BOS token.

    SAE-Lens trains on contexts that begin with BOS unless `prepend_bos` is false. Without it, the
    first token of a text becomes the attention sink, with an activation many times the usual norm.
    """
    return sae.cfg.metadata.prepend_bos is not False


def ordinary_tokens(
    token_ids: "Int[torch.Tensor, 'pos']",
    activations: "Float[torch.Tensor, 'pos d_in']",
    sae: "SAE[Any]",
    special: set[int],
) -> "Bool[torch.Tensor, 'pos']":
    """Returns a mask of the positions that an SAE was trained for.

    Special tokens, norm outliers and positions outside the SAE's `seqpos_slice` are left out.

    Args:
        token_ids: Token ids of one row.
        activations: Their activations.
        sae: The SAE; its metadata may have a `norm_limit` and a `seqpos_slice`.
        special: Ids of special tokens.
    """
    import torch

    kept = ~torch.isin(token_ids, torch.tensor(sorted(special)))
    kept &= _trained_positions(sae, len(token_ids))
    limit = sae.cfg.metadata.get("norm_limit")
    if limit is not None:
        kept &= activations.float().norm(dim=-1).cpu() <= limit
    return kept


def _trained_positions(sae: "SAE[Any]", length: int) -> "Bool[torch.Tensor, 'pos']":
    """Returns a mask of the positions in the SAE's `seqpos_slice`.

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


def sae_view(
    sae: "SAE[Any]", activations: "Float[torch.Tensor, 'pos width']", d_in: int
) -> "Float[torch.Tensor, 'pos d_in']":
    """Returns the part of an activation that an SAE reads: all of it, or one attention head.

    Args:
        sae: The SAE; its metadata may have a `hook_head_index`.
        activations: Activations, heads flattened.
        d_in: Width of the part.

    Returns:
        A view of `activations`; all of it if its width is no multiple of `d_in`.
    """
    from einops import rearrange

    head = sae.cfg.metadata.hook_head_index
    if head is None or activations.shape[-1] % d_in or activations.shape[-1] == d_in:
        return activations
    return rearrange(activations, "pos (head d_in) -> head pos d_in", d_in=d_in)[head]


def encode(
    sae: "SAE[Any]", inputs: "Float[torch.Tensor, 'pos d_in']", kept: "Bool[torch.Tensor, 'pos']"
) -> "Float[torch.Tensor, 'kept d_sae']":
    """Encodes one prompt's activations and returns the features at the kept positions."""
    given, chosen = _given(sae, inputs, kept)
    with _flat_heads(sae):
        features = sae.encode(given)
    return (features.to_dense() if features.is_sparse else features)[0, chosen]


class SparseFeatures(NamedTuple):
    """The nonzero feature activations of one prompt, ordered by position."""

    positions: np.ndarray
    """Position of each entry, `[n]`, int64, ascending."""
    features: np.ndarray
    """Feature of each entry, `[n]`, int32."""
    values: np.ndarray
    """Activation of each entry, `[n]`, float32."""


def encode_rows(
    sae: "SAE[Any]",
    inputs: "Sequence[Float[torch.Tensor, 'pos d_in']]",
    kept: "Sequence[Bool[torch.Tensor, 'pos']]",
) -> list[SparseFeatures]:
    """Encodes the activations of several prompts; only nonzero entries leave the SAE's device.

    Args:
        sae: The SAE.
        inputs: The activations of each prompt.
        kept: Mask of the positions to encode, of each prompt.

    Returns:
        The features of each prompt.
    """
    encoded: list[SparseFeatures] = []
    for group in _groups(sae, [len(row) for row in kept]):
        encoded += _encode_group(sae, inputs[group], kept[group])
    return encoded


def _groups(sae: "SAE[Any]", lengths: Sequence[int]) -> Iterator[slice]:
    """Yields slices of prompts that are encoded in one product of bounded size."""
    first, size = 0, 0
    for i, length in enumerate(lengths):
        size += length * sae.cfg.d_sae
        if i > first and (size > ENTRIES_AT_ONCE or attends(sae)):
            yield slice(first, i)
            first, size = i, length * sae.cfg.d_sae
    if lengths:
        yield slice(first, len(lengths))


def _encode_group(
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
        The features and the reconstruction at the kept positions.
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


def feature_contribution(
    sae: "SAE[Any]",
    inputs: "Float[torch.Tensor, 'pos d_in']",
    kept: "Bool[torch.Tensor, 'pos']",
    feature: int,
) -> "Float[torch.Tensor, 'pos d_out']":
    """Returns what one feature adds to the reconstruction: its activation times its direction.

    Positions that are not kept have zeros.
    """

    def without(features: "torch.Tensor") -> "torch.Tensor":
        edited = features.clone()
        edited[..., feature] = 0
        return edited

    return -decoded_change(sae, inputs, kept, without)


def decoded_change(
    sae: "SAE[Any]",
    inputs: "Float[torch.Tensor, 'pos d_in']",
    kept: "Bool[torch.Tensor, 'pos']",
    edit: "Callable[[torch.Tensor], torch.Tensor]",
) -> "Float[torch.Tensor, 'pos d_out']":
    """Returns how an edit of the features changes the reconstruction.

    It is the difference between decoding with and without the edit, so it includes a normalisation
    that the decoder undoes, and leaves out the SAE's error.

    Args:
        sae: The SAE.
        inputs: Its input.
        kept: Mask of the positions to edit.
        edit: Maps features, `[1, pos, d_sae]`, to edited ones; leaves its argument as it is.

    Returns:
        Exactly zero where no feature changes.
    """
    import torch

    given, chosen = _given(sae, inputs, kept)
    with torch.inference_mode(), _flat_heads(sae):
        features = sae.encode(given)
        features = features.to_dense() if features.is_sparse else features
        edited = edit(features)
        # In one call: SAE-Lens forgets an input's norm once it has decoded.
        output = sae.decode(torch.cat([features, edited]))
        same = (edited == features).all(-1, keepdim=True)[0]
        added = (output[1] - output[0]).masked_fill(same, 0)[chosen]
        everywhere = added.new_zeros(len(kept), added.shape[-1])
        everywhere[kept.to(added.device)] = added
    return everywhere


def attends(sae: "SAE[Any]") -> bool:
    """Returns whether an SAE (a temporal one) attends to earlier positions of its prompt."""
    return hasattr(sae, "attn_layers")


def _given(
    sae: "SAE[Any]", inputs: "torch.Tensor", kept: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor | slice]":
    """Returns the input to encode, `[1, pos, d_in]`, and the index of its kept positions."""
    if attends(sae):
        return inputs.to(sae.W_dec)[None], kept.to(sae.W_dec.device)
    return inputs[kept.to(inputs.device)].to(sae.W_dec)[None], slice(None)


@contextmanager
def _flat_heads(sae: "SAE[Any]") -> Iterator[None]:
    """Makes an SAE for attention heads (`hook_z`) take flattened heads, as `read_hook` does."""
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
