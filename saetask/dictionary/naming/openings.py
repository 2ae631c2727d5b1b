"""Openings that many rows share, such as the header of a chat template, left out of naming.

Features that fire on them would be named after words that no text was written with.
"""

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from saetask.saes.activations import TokenActivations

if TYPE_CHECKING:
    from jaxtyping import Int64

MIN_SHARE, MIN_ROWS = 0.02, 10
"""Share and number of the rows that must begin alike."""
MIN_TOKENS = 4
"""Minimum length of an opening; texts that begin with the same word have none."""


def without_openings(activations: TokenActivations) -> TokenActivations:
    """Returns the rows without the longest beginning that each shares with many others.

    Args:
        activations: Rows of tokens and their firings.
    """
    lengths = opening_lengths(activations)
    starts = activations.row_starts
    places = np.arange(len(activations.token_ids)) - np.repeat(starts[:-1], np.diff(starts))
    kept = places >= np.repeat(lengths, np.diff(starts))
    counts = np.diff(activations.indptr)
    firings = np.repeat(kept, counts)
    return TokenActivations(
        activations.token_ids[kept],
        np.concatenate([[0], np.cumsum(np.diff(starts) - lengths)]),
        activations.documents,
        np.concatenate([[0], np.cumsum(counts[kept])]),
        activations.features[firings],
        activations.values[firings],
        activations.d_sae,
    )


def opening_lengths(activations: TokenActivations) -> "Int64[np.ndarray, ' n_rows']":
    """Returns the number of tokens of each row's opening; 0 where it has none."""
    starts = activations.row_starts.tolist()
    rows = [activations.token_ids[a:b].tolist() for a, b in pairwise(starts)]
    enough = max(MIN_SHARE * len(rows), MIN_ROWS)
    lengths = np.zeros(len(rows), np.int64)
    alike = {number: tuple(row[:1]) for number, row in enumerate(rows)}
    for size in range(1, max(map(len, rows), default=0)):
        counts = Counter(alike.values())
        alike = {number: opening for number, opening in alike.items() if counts[opening] >= enough}
        lengths[list(alike)] = size
        alike = {
            number: (*opening, rows[number][size])
            for number, opening in alike.items()
            if len(rows[number]) > size + 1
        }
        if not alike:
            break
    return np.where(lengths >= MIN_TOKENS, lengths, 0)
