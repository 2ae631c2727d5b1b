"""Rows of tokens in batches, with little padding."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from jaxtyping import Int

LONGEST = 1.15
"""A row is at most so many times as long as the shortest one of its batch."""


def batches_by_length(
    lengths: Sequence[int], most_rows: int | None = None, most_tokens: int | None = None
) -> Iterator[list[int]]:
    """Yields the indices of rows of similar length, short ones first.

    Args:
        lengths: Tokens of each row.
        most_rows: Rows in a batch, at most.
        most_tokens: Tokens in a batch, padding included, at most (a longer row is alone).
    """
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        full = batch and (
            len(batch) == most_rows
            or (most_tokens is not None and (len(batch) + 1) * lengths[i] > most_tokens)
            or lengths[i] > LONGEST * lengths[batch[0]]
        )
        if full:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def right_padded(
    rows: Sequence[Sequence[int]], pad_id: int = 0
) -> "Int[torch.Tensor, 'batch pos']":
    """Stacks token rows of unequal length, padded on the right."""
    import torch

    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[pad_id] * (width - len(row))] for row in rows])
