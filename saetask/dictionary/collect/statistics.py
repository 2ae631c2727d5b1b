"""Statistics of each feature over a stream of tokens: bounded memory, independent of order."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from einops import rearrange

from saetask.saes.activations import TokenActivations

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Float64, Int32, Int64, UInt64

TOP_CONTEXTS = 10
SAMPLED_CONTEXTS = 64
BINS_PER_OCTAVE = 2
LOWEST_OCTAVE, HIGHEST_OCTAVE = -8, 12
N_BINS = (HIGHEST_OCTAVE - LOWEST_OCTAVE) * BINS_PER_OCTAVE
UNITS = 1024
"""Activations are summed in whole 1024ths: integers add up to the same in any order."""


class SampledActivations(NamedTuple):
    """Activations selected for display, one an entry, sorted by feature and rank."""

    feature: "Int32[np.ndarray, ' n']"
    rank: "UInt64[np.ndarray, ' n']"
    """Sort key: the entries of lowest rank of each feature are kept."""
    document: "UInt64[np.ndarray, ' n']"
    """Hash of the document's id."""
    row: "Int32[np.ndarray, ' n']"
    """Number of the row in the whole stream."""
    position: "Int32[np.ndarray, ' n']"
    """Token within the row."""
    value: "Float32[np.ndarray, ' n']"

    def select(
        self, entries: "Int64[np.ndarray, ' m'] | Bool[np.ndarray, ' n']"
    ) -> "SampledActivations":
        """Returns the entries at the given indices, or where a mask is true."""
        return SampledActivations(*(column[entries] for column in self))

    def of_feature(self, feature: int) -> "SampledActivations":
        """Returns the entries of one feature."""
        low, high = np.searchsorted(self.feature, [feature, feature + 1])
        return self.select(np.arange(low, high))


def no_samples() -> SampledActivations:
    """Returns an empty set of sampled activations."""
    types = (np.int32, np.uint64, np.uint64, np.int32, np.int32, np.float32)
    return SampledActivations(*(np.empty(0, dtype) for dtype in types))


def keep_lowest(samples: SampledActivations, per_feature: int) -> SampledActivations:
    """Returns the entries of lowest rank of each feature, up to one per document.

    The lowest of a union are among the lowest of its parts, so parts of a corpus may be merged in
    any order.

    Args:
        samples: Entries in any order.
        per_feature: Maximum number of entries of a feature.
    """
    order = np.lexsort((samples.rank, samples.document, samples.feature))
    samples = samples.select(order)
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(samples.feature) != 0) | (np.diff(samples.document) != 0)
    samples = samples.select(first)
    samples = samples.select(np.lexsort((samples.document, samples.rank, samples.feature)))
    starts = np.searchsorted(samples.feature, samples.feature)
    return samples.select(np.arange(len(starts)) - starts < per_feature)


@dataclass
class FeatureStatistics:
    """Statistics and sampled activations of every feature over the tokens read so far."""

    n_tokens: int
    count: "Int64[np.ndarray, ' d_sae']"
    """Number of tokens on which each feature fires."""
    total: "Int64[np.ndarray, ' d_sae']"
    """Sum of its activations, in 1024ths."""
    maximum: "Float32[np.ndarray, ' d_sae']"
    """Its strongest activation."""
    histogram: "Int64[np.ndarray, 'd_sae N_BINS']"
    """Number of activations by strength, half an octave a bin; see `bin_edges`."""
    top: SampledActivations
    """The strongest activations, one per document."""
    sample: SampledActivations
    """Activations drawn uniformly at random, one per document."""


def empty_statistics(d_sae: int) -> FeatureStatistics:
    """Returns the statistics of no tokens."""
    zeros = np.zeros(d_sae, np.int64)
    return FeatureStatistics(
        0,
        zeros,
        zeros.copy(),
        np.zeros(d_sae, np.float32),
        np.zeros((d_sae, N_BINS), np.int64),
        no_samples(),
        no_samples(),
    )


def merge_statistics(first: FeatureStatistics, second: FeatureStatistics) -> FeatureStatistics:
    """Returns the statistics of two disjoint sets of tokens together."""

    def merge_samples(
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
        merge_samples(first.top, second.top, TOP_CONTEXTS),
        merge_samples(first.sample, second.sample, SAMPLED_CONTEXTS),
    )


def count_activations(activations: TokenActivations, first_row: int) -> FeatureStatistics:
    """Returns the statistics of some rows.

    Args:
        activations: The feature activations of the rows.
        first_row: Number of the first of these rows in the whole stream.
    """
    token_rows = activations.token_rows()
    d_sae, features, values = activations.d_sae, activations.features, activations.values
    maximum = np.zeros(d_sae, np.float32)
    np.maximum.at(maximum, features, values)
    cells = features.astype(np.int64) * N_BINS + bin_of(values)
    histogram = np.bincount(cells, minlength=d_sae * N_BINS).astype(np.int64)
    units = np.round(values.astype(np.float64) * UNITS)
    samples = _all_samples(activations, token_rows, first_row)
    strength = np.uint64(0xFFFFFFFF) - values.view(np.uint32).astype(np.uint64)
    by_strength = (strength << np.uint64(32)) | (samples.rank >> np.uint64(32))
    return FeatureStatistics(
        len(token_rows),
        np.bincount(features, minlength=d_sae).astype(np.int64),
        np.bincount(features, units, minlength=d_sae).astype(np.int64),
        maximum,
        rearrange(histogram, "(feature bin) -> feature bin", bin=N_BINS),
        keep_lowest(samples._replace(rank=by_strength), TOP_CONTEXTS),
        keep_lowest(samples, SAMPLED_CONTEXTS),
    )


def _all_samples(
    activations: TokenActivations, token_rows: "Int64[np.ndarray, ' n_tokens']", first_row: int
) -> SampledActivations:
    """Returns an entry for every activation, with a pseudo-random rank."""
    counts = np.diff(activations.indptr)
    positions = np.arange(len(token_rows)) - activations.row_starts[token_rows]
    rows, positions = np.repeat(token_rows, counts), np.repeat(positions, counts)
    documents = activations.documents[rows]
    return SampledActivations(
        activations.features,
        _hash_integers(documents, rows + first_row, positions, activations.features),
        documents,
        (rows + first_row).astype(np.int32),
        positions.astype(np.int32),
        activations.values,
    )


def bin_of(values: "Float32[np.ndarray, ' n']") -> "Int64[np.ndarray, ' n']":
    """Returns the histogram bin of each activation."""
    octaves = np.log2(np.maximum(values, 2.0**LOWEST_OCTAVE)) - LOWEST_OCTAVE
    return np.minimum((octaves * BINS_PER_OCTAVE).astype(np.int64), N_BINS - 1)


def bin_edges() -> "Float64[np.ndarray, ' N_BINS+1']":
    """Returns the activations that bound the histogram's bins."""
    return 2.0 ** (LOWEST_OCTAVE + np.arange(N_BINS + 1) / BINS_PER_OCTAVE)


def _hash_integers(*columns: np.ndarray) -> "UInt64[np.ndarray, ' n']":
    """Hashes tuples of integers to 64 bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    hashed = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        hashed = hashed * np.uint64(31) + column.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        hashed = (hashed ^ (hashed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hashed = (hashed ^ (hashed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hashed ^= hashed >> np.uint64(31)
    return hashed
