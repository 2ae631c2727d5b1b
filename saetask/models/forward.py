"""Forward passes of a model: logits of rows and trees of tokens, generation."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from saetask.models.fast_forward import bypass_bridge
from saetask.models.loading import model_device, model_tokenizer

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float, Int

    from saetask.models.loading import Model


def tree_logits(
    model: "Model",
    token_ids: "Int[torch.Tensor, 'node']",
    positions: "Int[torch.Tensor, 'node']",
    visible: "Bool[torch.Tensor, 'node node']",
    needed: "Int[torch.Tensor, 'needed']",
) -> "Float[torch.Tensor, 'needed vocab']":
    """Runs a tree of tokens as one row and returns the logits after the nodes `needed`.

    Args:
        model: The model to run.
        token_ids: Token of each node; a parent precedes its children.
        positions: Depth of each node.
        visible: Which nodes each node attends to: its ancestors and itself.
        needed: Nodes whose next-token logits are wanted, ascending.
    """
    import torch

    device = model_device(model)
    hf_model: Any = model.original_model
    dtype = next(hf_model.parameters()).dtype
    mask = torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, torch.finfo(dtype).min)
    with torch.inference_mode(), bypass_bridge(model):
        output = hf_model(
            input_ids=token_ids[None].to(device),
            position_ids=positions[None].to(device),
            attention_mask=mask[None, None].to(device),
            use_cache=False,
            logits_to_keep=needed.to(device),
        )
    return output.logits[0].cpu()


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
    """Runs one row of tokens and returns the logits after each."""
    import torch

    with torch.inference_mode(), bypass_bridge(model):
        return logits_of(model, token_ids[None])[0].cpu()


def generate_texts(
    model: "Model", prompts: Sequence[Sequence[int]], max_new_tokens: int
) -> list[str]:
    """Generates greedily after each prompt, as one left-padded batch; returns the new texts."""
    import torch

    if not prompts:
        return []
    tokenizer = model_tokenizer(model)
    width = max(len(prompt) for prompt in prompts)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    tokens = torch.tensor([[*[pad_id] * (width - len(p)), *p] for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    device = model_device(model)
    hf_model: Any = model.original_model
    with torch.inference_mode(), bypass_bridge(model):
        output = hf_model.generate(
            input_ids=tokens.to(device),
            attention_mask=mask.to(device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=pad_id,
        )
    return [str(tokenizer.decode(row[width:], skip_special_tokens=True)) for row in output.cpu()]


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
