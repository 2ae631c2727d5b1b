"""What is kept of each feature while a corpus streams by: bounded, and the same in any order."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from saetask.saes.activations import TokenActivations

TOP_CONTEXTS = 10
SAMPLED_CONTEXTS = 64
BINS_PER_OCTAVE = 2
LOWEST_OCTAVE, HIGHEST_OCTAVE = -8, 12
N_BINS = (HIGHEST_OCTAVE - LOWEST_OCTAVE) * BINS_PER_OCTAVE
UNITS = 1024
"""Activations are summed in whole 1024ths: integers add up to the same in any order."""


class SampledActivations(NamedTuple):
    """TokenActivations worth keeping, one an entry, sorted by feature and rank."""

    feature: np.ndarray
    """`[n]`, int32."""
    rank: np.ndarray
    """The lowest of each feature are kept, `[n]`, uint64."""
    document: np.ndarray
    """`[n]`, uint64."""
    row: np.ndarray
    """Number of the row in the whole stream, `[n]`, int32."""
    position: np.ndarray
    """Token within the row, `[n]`, int32."""
    value: np.ndarray
    """`[n]`, float32."""

    def taken(self, chosen: np.ndarray) -> "SampledActivations":
        """Returns the chosen entries."""
        return SampledActivations(*(column[chosen] for column in self))

    def of(self, feature: int) -> "SampledActivations":
        """Returns one feature's entries."""
        low, high = np.searchsorted(self.feature, [feature, feature + 1])
        return self.taken(np.arange(low, high))


def no_samples() -> SampledActivations:
    """Returns an empty set of records."""
    types = (np.int32, np.uint64, np.uint64, np.int32, np.int32, np.float32)
    return SampledActivations(*(np.empty(0, dtype) for dtype in types))


def keep_lowest(records: SampledActivations, per_feature: int) -> SampledActivations:
    """Keeps each feature's entries of lowest rank, one a document.

    Keeping the lowest of a union is keeping the lowest of each part first, so parts of a corpus
    may be merged in any order.
    """
    order = np.lexsort((records.rank, records.document, records.feature))
    records = records.taken(order)
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(records.feature) != 0) | (np.diff(records.document) != 0)
    records = records.taken(first)
    records = records.taken(np.lexsort((records.document, records.rank, records.feature)))
    starts = np.searchsorted(records.feature, records.feature)
    return records.taken(np.arange(len(starts)) - starts < per_feature)


@dataclass
class FeatureStatistics:
    """Statistics and contexts of every feature over the tokens seen so far."""

    n_tokens: int
    count: np.ndarray
    """Tokens on which each feature fired, `[d_sae]`, int64."""
    total: np.ndarray
    """Sum of its activations in 1024ths, `[d_sae]`, int64."""
    maximum: np.ndarray
    """`[d_sae]`, float32."""
    histogram: np.ndarray
    """TokenActivations by activation, half an octave a bin, `[d_sae, N_BINS]`, int64."""
    top: SampledActivations
    """The strongest firings, one a document."""
    sample: SampledActivations
    """TokenActivations drawn evenly at random, one a document."""


def empty_statistics(d_sae: int) -> FeatureStatistics:
    """Returns the tally of no tokens."""
    integers = np.zeros(d_sae, np.int64)
    return FeatureStatistics(
        0,
        integers,
        integers.copy(),
        np.zeros(d_sae, np.float32),
        np.zeros((d_sae, N_BINS), np.int64),
        no_samples(),
        no_samples(),
    )


def merge_statistics(first: FeatureStatistics, second: FeatureStatistics) -> FeatureStatistics:
    """Returns the tally of two sets of tokens together."""

    def joined(
        one: SampledActivations, two: SampledActivations, per_feature: int
    ) -> SampledActivations:
        both = SampledActivations(*(np.concatenate(pair) for pair in zip(one, two)))
        return keep_lowest(both, per_feature)

    return FeatureStatistics(
        first.n_tokens + second.n_tokens,
        first.count + second.count,
        first.total + second.total,
        np.maximum(first.maximum, second.maximum),
        first.histogram + second.histogram,
        joined(first.top, second.top, TOP_CONTEXTS),
        joined(first.sample, second.sample, SAMPLED_CONTEXTS),
    )


def count_activations(firings: TokenActivations, first_row: int) -> FeatureStatistics:
    """Tallies the firings on some rows.

    Args:
        firings: The rows' firings.
        first_row: Number of the first of these rows in the whole stream.
    """
    counts = np.diff(firings.indptr)
    token_rows = firings.token_rows()
    positions = np.arange(len(token_rows)) - firings.row_starts[token_rows]
    rows = np.repeat(token_rows, counts)
    features, values = firings.features, firings.values
    documents = firings.documents[rows]
    where = np.repeat(positions, counts)
    rank = _mixed(documents, rows + first_row, where, features)
    records = SampledActivations(
        features,
        rank,
        documents,
        (rows + first_row).astype(np.int32),
        where.astype(np.int32),
        values,
    )
    strength = np.uint64(0xFFFFFFFF) - values.view(np.uint32).astype(np.uint64)
    by_strength = records._replace(rank=(strength << np.uint64(32)) | (rank >> np.uint64(32)))
    d_sae = firings.d_sae
    maximum = np.zeros(d_sae, np.float32)
    np.maximum.at(maximum, features, values)
    cells = features.astype(np.int64) * N_BINS + bin_of(values)
    units = np.round(values.astype(np.float64) * UNITS)
    return FeatureStatistics(
        len(token_rows),
        np.bincount(features, minlength=d_sae).astype(np.int64),
        np.bincount(features, units, minlength=d_sae).astype(np.int64),
        maximum,
        np.bincount(cells, minlength=d_sae * N_BINS).reshape(d_sae, N_BINS).astype(np.int64),
        keep_lowest(by_strength, TOP_CONTEXTS),
        keep_lowest(records, SAMPLED_CONTEXTS),
    )


def bin_of(values: np.ndarray) -> np.ndarray:
    """Returns the histogram bin of each activation."""
    octaves = np.log2(np.maximum(values, 2.0**LOWEST_OCTAVE)) - LOWEST_OCTAVE
    return np.minimum((octaves * BINS_PER_OCTAVE).astype(np.int64), N_BINS - 1)


def bin_edges() -> np.ndarray:
    """Returns the activations between which the bins lie, `[N_BINS + 1]`."""
    return 2.0 ** (LOWEST_OCTAVE + np.arange(N_BINS + 1) / BINS_PER_OCTAVE)


def _mixed(*columns: np.ndarray) -> np.ndarray:
    """Hashes integers to 64 bits each, evenly (the finaliser of SplitMix64, Steele et al. 2014)."""
    mixed = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        mixed = mixed * np.uint64(31) + column.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed
