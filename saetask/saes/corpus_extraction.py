"""Feature activations of corpus rows: token rows without chat template, one or more documents."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.data.corpus import TokenRow
from saetask.models.forward import right_padded
from saetask.models.hooks import read_hook
from saetask.models.loading import model_tokenizer
from saetask.saes.activations import TokenActivations
from saetask.saes.encoding import (
    SparseFeatures,
    encode_rows,
    input_hook,
    ordinary_tokens,
    sae_view,
)

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int
    from sae_lens import SAE

    from saetask.models.loading import Model

ROWS_PER_BLOCK, ROWS_PER_BATCH = 64, 16
"""Rows are batched by length within blocks. Fixed, because the batch that a row is in changes the
last bits of its activations."""


class RowInputs(NamedTuple):
    """Input of an SAE for one row of tokens."""

    row: int
    """Index of the row."""
    token_ids: "Int[torch.Tensor, 'pos']"
    activations: "Float[torch.Tensor, 'pos d_in']"
    """At the SAE's hook point, in the model's dtype."""


def extract_token_activations(
    model: "Model", saes: "Sequence[SAE[Any]]", rows: Sequence[TokenRow]
) -> list[TokenActivations]:
    """Extracts the positive feature activations of token rows, one forward pass for all SAEs.

    Special tokens and norm outliers have no activations.

    Args:
        model: The model to run.
        saes: SAEs that share a hook point.
        rows: Token rows of one or more documents.

    Returns:
        The activations of each SAE, in the order of `saes`.

    Raises:
        UserError: The model has no such hook point, or never reaches it.
    """
    special = set(model_tokenizer(model).all_special_ids)
    sparse: list[dict[int, SparseFeatures]] = [{} for _ in saes]
    for batch in read_inputs(model, saes[0], rows):
        activations = [row.activations for row in batch]
        for sae, by_row in zip(saes, sparse):
            kept = [ordinary_tokens(row.token_ids, row.activations, sae, special) for row in batch]
            encoded = encode_rows(sae, activations, kept)
            by_row |= {row.row: _positive(features) for row, features in zip(batch, encoded)}
    return [
        _concatenated(rows, [by_row[i] for i in range(len(rows))], sae.cfg.d_sae)
        for sae, by_row in zip(saes, sparse)
    ]


def _positive(row: SparseFeatures) -> SparseFeatures:
    """Returns the entries above zero."""
    above = row.values > 0
    return SparseFeatures(row.positions[above], row.features[above], row.values[above])


def _concatenated(
    rows: Sequence[TokenRow], sparse: Sequence[SparseFeatures], d_sae: int
) -> TokenActivations:
    """Joins the activations of all rows into one CSR structure over their tokens."""
    counts = [
        np.bincount(features.positions, minlength=len(row.token_ids))
        for row, features in zip(rows, sparse)
    ]
    return TokenActivations(
        np.concatenate([np.array(row.token_ids, np.int32) for row in rows]),
        np.cumsum([0, *(len(row.token_ids) for row in rows)]),
        np.array([document_hash(row.document) for row in rows], np.uint64),
        np.cumsum(np.concatenate([[0], *counts])),
        np.concatenate([features.features for features in sparse]),
        np.concatenate([features.values for features in sparse]),
        d_sae,
    )


def document_hash(document: str) -> int:
    """Returns the first 64 bits of the SHA-256 of a document id."""
    return int.from_bytes(hashlib.sha256(document.encode()).digest()[:8])


def read_inputs(
    model: "Model", sae: "SAE[Any]", rows: Sequence[TokenRow]
) -> Iterator[list[RowInputs]]:
    """Yields the inputs of an SAE for each row, in batches of rows of similar length."""
    lengths = [len(row.token_ids) for row in rows]
    for batch in batches(lengths):
        tokens = right_padded([rows[i].token_ids for i in batch])
        activations = read_hook(model, tokens, input_hook(sae))
        yield [
            RowInputs(
                i,
                token_ids[: lengths[i]],
                sae_view(sae, activation[: lengths[i]], sae.cfg.d_in),
            )
            for i, token_ids, activation in zip(batch, tokens, activations)
        ]


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yields batches of rows of similar length, as indices."""
    for first in range(0, len(lengths), ROWS_PER_BLOCK):
        block = range(first, min(first + ROWS_PER_BLOCK, len(lengths)))
        order = sorted(block, key=lengths.__getitem__)
        for start in range(0, len(order), ROWS_PER_BATCH):
            yield order[start : start + ROWS_PER_BATCH]
