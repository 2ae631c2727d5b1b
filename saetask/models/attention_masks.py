"""Attention masks of trees of tokens, for models that restrict attention by distance, too."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float, Int

LAYER_SPANS = {"sliding_attention": "sliding_window", "chunked_attention": "attention_chunk_size"}
"""By the kind of a layer (`layer_types` of a config of transformers): the name of its span."""
SPAN_WORDS, OTHER_WORDS = ("window", "chunk"), ("layers", "pattern", "feed_forward")
"""Words in the names of spans, and in the names of numbers that are none."""


class AttentionSpans(NamedTuple):
    """Lengths at which a model's attention or its positions change, none of them beyond `limit`."""

    masked: list[int]
    """Windows and chunks that `tree_masks` restricts the mask to, in tokens."""
    limit: int
    """Sequences up to this length, in tokens, have the same positions in any batch."""
    known: bool
    """Whether every span of the config is one of `LAYER_SPANS`: GPT-Neo, for one, masks rows by
    itself, whatever mask it is given."""


def attention_spans(config: Any, n_context: int) -> AttentionSpans:
    """Returns the spans of a model's attention.

    Args:
        config: A config of transformers.
        n_context: Maximum length of a sequence, in tokens.
    """
    text = config.get_text_config()
    limit = min([n_context, *_switches(text.to_dict())])
    named = {
        name: value
        for name, value in text.to_dict().items()
        if any(word in name for word in SPAN_WORDS)
        and not any(word in name for word in OTHER_WORDS)
        and type(value) is int
        and 0 < value < limit
    }
    masked = {value for name, value in named.items() if name in LAYER_SPANS.values()}
    return AttentionSpans(sorted(masked), limit, named.keys() <= set(LAYER_SPANS.values()))


def _switches(values: dict[str, Any]) -> Iterator[int]:
    """Yields the lengths beyond which positions depend on the longest sequence of a batch.

    A `longrope` embedding has other frequencies beyond `original_max_position_embeddings`.
    """
    if "longrope" in (values.get("rope_type"), values.get("type")):
        yield values.get("original_max_position_embeddings") or 1
    for value in values.values():
        if isinstance(value, dict):
            yield from _switches(value)


def tree_masks(
    config: Any,
    positions: "Int[torch.Tensor, 'known']",
    visible: "Bool[torch.Tensor, 'node known']",
    dtype: "torch.dtype",
) -> "Float[torch.Tensor, '1 1 node known'] | dict[str, Float[torch.Tensor, '1 1 node known']]":
    """Returns the additive masks of a tree of tokens, as a model of transformers takes them.

    Each kind of layer sees a node's ancestors (`visible`) within its own span: sliding windows
    reach `sliding_window - 1` positions back, chunks are blocks of `attention_chunk_size`
    positions. Distances are those of positions, not of rows.

    Args:
        config: The model's config.
        positions: Depth of each node, behind those of nodes that were run before.
        visible: Which of these nodes each node attends to: its ancestors and itself.
        dtype: Type of the mask.

    Returns:
        One mask, or one by kind of layer where the model has several kinds.
    """
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ()) or {_only_kind(text)}
    masks = {kind: _additive(_within(text, kind, positions, visible), dtype) for kind in kinds}
    return masks if len(masks) > 1 else masks.popitem()[1]


def _only_kind(config: Any) -> str:
    """Returns the kind of all layers of a model whose config does not list them."""
    for kind, name in LAYER_SPANS.items():
        if getattr(config, name, None) is not None:
            return kind
    return "full_attention"


def _within(
    config: Any,
    kind: str,
    positions: "Int[torch.Tensor, 'known']",
    visible: "Bool[torch.Tensor, 'node known']",
) -> "Bool[torch.Tensor, 'node known']":
    """Returns what a kind of layer sees; other kinds than those of `LAYER_SPANS` see everything."""
    span = getattr(config, LAYER_SPANS.get(kind, ""), None)
    if span is None:
        return visible
    query, key = positions[-len(visible) :, None], positions[None, :]
    if kind == "chunked_attention":
        return visible & (query // span == key // span)
    return visible & (query - key < span)


def _additive(
    mask: "Bool[torch.Tensor, 'node known']", dtype: "torch.dtype"
) -> "Float[torch.Tensor, '1 1 node known']":
    import torch

    zeros = torch.zeros(mask.shape, dtype=dtype)
    return zeros.masked_fill_(~mask, torch.finfo(dtype).min)[None, None]
