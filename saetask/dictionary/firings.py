"""Every firing on some rows of a corpus, read once for any number of SAEs."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.batching import right_padded
from saetask.corpus import TokenRow
from saetask.hooks import read_hook
from saetask.models import model_tokenizer
from saetask.sae_encoding import encode_rows, input_hook, ordinary_tokens, sae_view

if TYPE_CHECKING:
    import torch
    from sae_lens import SAE
    from scipy.sparse import csr_matrix

    from saetask.models import Model

ROWS_PER_BLOCK, ROWS_PER_BATCH = 64, 16
"""Rows are batched by length within blocks; fixed, since a row read in other company differs in the
last bits of its activations."""


@dataclass(frozen=True)
class Firings:
    """The firings of one SAE on rows of tokens (CSR over all tokens)."""

    token_ids: np.ndarray
    """Rows one after another, `[n_tokens]`, int32."""
    row_starts: np.ndarray
    """Where each row begins, `[n_rows + 1]`, int64."""
    documents: np.ndarray
    """Hash of each row's document, `[n_rows]`, uint64."""
    indptr: np.ndarray
    """Where each token's firings begin, `[n_tokens + 1]`, int64."""
    features: np.ndarray
    """Feature of each firing, `[n_firings]`, int32."""
    values: np.ndarray
    """Activation of each firing, `[n_firings]`, float32, positive."""
    d_sae: int

    def rows(self, first: int, last: int) -> "Firings":
        """Returns the firings on some of the rows."""
        low, high = self.row_starts[[first, last]]
        start, end = self.indptr[[low, high]]
        return Firings(
            self.token_ids[low:high],
            self.row_starts[first : last + 1] - low,
            self.documents[first:last],
            self.indptr[low : high + 1] - start,
            self.features[start:end],
            self.values[start:end],
            self.d_sae,
        )

    def matrix(self) -> "csr_matrix":
        """Returns the activations, `[n_tokens, d_sae]`."""
        from scipy.sparse import csr_matrix

        shape = (len(self.token_ids), self.d_sae)
        return csr_matrix((self.values, self.features, self.indptr), shape=shape)

    def token_rows(self) -> np.ndarray:
        """Returns the row of each token, `[n_tokens]`."""
        return np.repeat(np.arange(len(self.documents)), np.diff(self.row_starts))


def document_hash(document: str) -> int:
    """Returns 64 bits of a document id's SHA-256."""
    return int.from_bytes(hashlib.sha256(document.encode()).digest()[:8])


def read_firings(
    model: "Model", saes: "Sequence[SAE[Any]]", rows: Sequence[TokenRow]
) -> list[Firings]:
    """Reads rows through SAEs that share a hook point, with one forward pass for all.

    Special tokens and norm outliers have no firings.

    Args:
        model: The model to read.
        saes: Any number of SAEs at the same hook point.
        rows: Token rows of one or more documents.

    Returns:
        The firings of each SAE.
    """
    special = set(model_tokenizer(model).all_special_ids)
    found: list[list[Any]] = [[None] * len(rows) for _ in saes]
    for batch in read_inputs(model, saes[0], rows):
        for sae, sparse in zip(saes, found):
            for inputs, firings in zip(batch, _encode(sae, batch, special)):
                sparse[inputs.row] = firings
    token_ids = np.concatenate([np.array(row.token_ids, np.int32) for row in rows])
    starts = np.cumsum([0, *(len(row.token_ids) for row in rows)])
    documents = np.array([document_hash(row.document) for row in rows], np.uint64)
    return [
        Firings(
            token_ids,
            starts,
            documents,
            np.cumsum(np.concatenate([[0], *(counts for counts, _, _ in sparse)])),
            np.concatenate([features for _, features, _ in sparse]),
            np.concatenate([values for _, _, values in sparse]),
            sae.cfg.d_sae,
        )
        for sae, sparse in zip(saes, found)
    ]


class RowInputs(NamedTuple):
    """What an SAE is given for one row."""

    row: int
    token_ids: "torch.Tensor"
    """`[pos]`."""
    activations: "torch.Tensor"
    """`[pos, d_in]`, at the SAE's hook point."""


def read_inputs(
    model: "Model", sae: "SAE[Any]", rows: Sequence[TokenRow]
) -> Iterator[list[RowInputs]]:
    """Yields the inputs of an SAE for each row, in batches of rows of similar length."""
    lengths = [len(row.token_ids) for row in rows]
    for batch in batches(lengths):
        tokens = right_padded([rows[i].token_ids for i in batch])
        activations = read_hook(model, tokens, input_hook(sae))
        yield [
            RowInputs(i, own[: lengths[i]], sae_view(sae, given[: lengths[i]], sae.cfg.d_in))
            for i, own, given in zip(batch, tokens, activations)
        ]


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yields batches of rows of similar length, by index."""
    for first in range(0, len(lengths), ROWS_PER_BLOCK):
        block = range(first, min(first + ROWS_PER_BLOCK, len(lengths)))
        order = sorted(block, key=lengths.__getitem__)
        for start in range(0, len(order), ROWS_PER_BATCH):
            yield order[start : start + ROWS_PER_BATCH]


def _encode(
    sae: "SAE[Any]", batch: Sequence[RowInputs], special: set[int]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields, for each row, how many features fire on each token, which, and how strongly."""
    kept = [ordinary_tokens(row.token_ids, row.activations, sae, special) for row in batch]
    encoded = encode_rows(sae, [row.activations for row in batch], kept)
    for row, (positions, features, values) in zip(batch, encoded):
        fires = values > 0
        counts = np.bincount(positions[fires], minlength=len(row.token_ids))
        yield counts, features[fires], values[fires]
