"""Forward passes of a model: logits of rows and of trees of tokens."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from saetask.models.attention_masks import tree_masks
from saetask.models.fast_forward import bypass_bridge
from saetask.models.loading import model_device

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float, Int
    from transformers import Cache

    from saetask.models.loading import Model


def tree_logits(
    model: "Model",
    token_ids: "Int[torch.Tensor, 'node']",
    positions: "Int[torch.Tensor, 'node']",
    visible: "Bool[torch.Tensor, 'node known']",
    needed: "Int[torch.Tensor, 'needed']",
    cache: "Cache | None" = None,
) -> "Float[torch.Tensor, 'needed vocab']":
    """Runs a tree of tokens as one row and returns the logits after the nodes `needed`.

    Args:
        model: The model to run.
        token_ids: Token of each node; a parent precedes its children.
        positions: Depth of each node, behind those of the nodes in the cache.
        visible: Which of these nodes each node attends to: its ancestors and itself; layers with a
            window attend to those of them that are within it.
        needed: Nodes whose next-token logits are wanted, ascending.
        cache: Keys and values of nodes that were run before (see `cached_nodes`), to which those of
            these nodes are added; None keeps none.

    Returns:
        Logits, float32.
    """
    import torch

    device = model_device(model)
    hf_model: Any = model.original_model
    dtype = next(hf_model.parameters()).dtype
    masks = tree_masks(hf_model.config, positions, visible, dtype)
    if isinstance(masks, dict):
        masks = {kind: mask.to(device) for kind, mask in masks.items()}
    else:
        masks = masks.to(device)
    with torch.inference_mode(), bypass_bridge(model), float32_logits(model):
        output = hf_model(
            input_ids=token_ids[None].to(device),
            position_ids=positions[None, -len(token_ids) :].to(device),
            attention_mask=masks,
            use_cache=cache is not None,
            logits_to_keep=needed.to(device),
            **({} if cache is None else {"past_key_values": cache}),
        )
    return output.logits[0].cpu()


def cached_nodes(cache: "Cache | None" = None, nodes: Sequence[int] = ()) -> "Cache":
    """Returns a cache for `tree_logits` with some nodes of another one, or an empty one.

    All of a node's ancestors are kept, whatever the windows of the layers: the masks restrict what
    is attended to.
    """
    import torch
    from transformers import DynamicCache

    chosen, layers = DynamicCache(), getattr(cache, "layers", ()) if nodes else ()
    for number, layer in enumerate(layers):
        places = torch.tensor(nodes, device=layer.keys.device)
        kept = layer.keys.index_select(2, places), layer.values.index_select(2, places)
        chosen.update(*kept, number)
    return chosen


def logits_of(
    model: "Model", tokens: "Int[torch.Tensor, 'batch pos']"
) -> "Float[torch.Tensor, 'batch pos vocab']":
    """Runs rows of tokens and returns their logits; the key-value cache is off."""
    hf_model: Any = getattr(model, "original_model", None)
    caches = getattr(getattr(hf_model, "config", None), "use_cache", None) is not None
    options: dict[str, Any] = {"use_cache": False} if caches else {}
    return model(tokens.to(model_device(model)), return_type="logits", **options)


def row_logits(
    model: "Model", token_ids: "Int[torch.Tensor, 'pos']"
) -> "Float[torch.Tensor, 'pos vocab']":
    """Runs one row of tokens and returns the logits after each, float32."""
    import torch

    with torch.inference_mode(), bypass_bridge(model), float32_logits(model):
        return logits_of(model, token_ids[None])[0].float().cpu()


LARGEST_COPY = 2**30
"""Bytes of the largest unembedding that is kept in float32 beside the model's own."""
VOCABULARY_CHUNK = 8192
"""Rows of a larger one that are converted to float32 at once."""
_FLOAT32_COPIES: "WeakKeyDictionary[torch.nn.Module, _Copy]" = WeakKeyDictionary()


class _Copy(NamedTuple):
    """An unembedding in float32, and the state of the weights that it was made of."""

    state: tuple[int, int]
    weight: "Float[torch.Tensor, 'vocab d_model']"


@contextmanager
def float32_logits(model: "Model") -> Iterator[None]:
    """Has a model of transformers compute its unembedding in float32, within the context.

    In bfloat16, logits near 20 are multiples of 1/8, so that different candidates tie. What a
    model does with its logits (a soft cap, a scale) is done in float32, too. A `HookedTransformer`
    computes its logits by itself.
    """
    import torch

    hf_model: Any = getattr(model, "original_model", None)
    head: Any = hf_model.get_output_embeddings() if hf_model is not None else None
    head = getattr(head, "original_component", head)
    if not hasattr(head, "weight") or head.weight.dtype == torch.float32:
        yield
        return
    own = vars(head).get("forward")
    head.forward = partial(_in_float32, head)  # a hook would come after the layer's own product
    try:
        yield
    finally:
        del head.forward
        if own is not None:
            head.forward = own


def _in_float32(head: Any, hidden: "torch.Tensor") -> "torch.Tensor":
    """Computes a linear layer's output in float32."""
    import torch

    hidden, bias = hidden.float(), getattr(head, "bias", None)
    if 4 * head.weight.numel() <= LARGEST_COPY:
        logits = hidden @ _float32_copy(head).mT
    else:
        chunks = [hidden @ rows.float().mT for rows in head.weight.split(VOCABULARY_CHUNK)]
        logits = torch.cat(chunks, -1)
    return logits if bias is None else logits + bias.float()


def _float32_copy(head: Any) -> "Float[torch.Tensor, 'vocab d_model']":
    """Returns a layer's weight in float32; converting it takes longer than multiplying with it."""
    state = (head.weight.data_ptr(), head.weight._version)
    if head not in _FLOAT32_COPIES or _FLOAT32_COPIES[head].state != state:
        _FLOAT32_COPIES[head] = _Copy(state, head.weight.detach().float())
    return _FLOAT32_COPIES[head].weight


MAX_LENGTH_RATIO = 1.15
"""Maximum ratio of a batch's longest row to its shortest; bounds the padding."""


def batches_by_length(
    lengths: Sequence[int], max_rows: int | None = None, max_tokens: int | None = None
) -> Iterator[list[int]]:
    """Yields batches of rows of similar length, as indices, short rows first.

    Args:
        lengths: Tokens of each row.
        max_rows: Maximum number of rows in a batch.
        max_tokens: Maximum number of tokens in a batch, with padding; a longer row is alone.
    """
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        full = batch and (
            len(batch) == max_rows
            or (max_tokens is not None and (len(batch) + 1) * lengths[i] > max_tokens)
            or lengths[i] > MAX_LENGTH_RATIO * lengths[batch[0]]
        )
        if full:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def right_padded(rows: Sequence[Sequence[int]]) -> "Int[torch.Tensor, 'batch pos']":
    """Stacks token rows of unequal length, padded with 0 on the right."""
    import torch

    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
