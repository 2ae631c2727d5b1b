"""Statistics are the same however their corpus was cut, and equal those counted by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.dictionary.collect.statistics import (
    BINS_PER_OCTAVE,
    N_BINS,
    TOP_CONTEXTS,
    UNITS,
    SampledActivations,
    bin_edges,
    bin_of,
    count_activations,
    empty_statistics,
    keep_lowest,
    merge_statistics,
)
from saetask.saes.activations import TokenActivations

D_SAE = 6


def make_firings(seed: int, n_rows: int = 12, n_documents: int = 4) -> TokenActivations:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 9, n_rows)
    n_tokens = int(lengths.sum())
    counts = generator.integers(0, 4, n_tokens)
    features = [np.sort(generator.choice(D_SAE, c, replace=False)) for c in counts]
    return TokenActivations(
        generator.integers(0, 50, n_tokens).astype(np.int32),
        np.cumsum([0, *lengths]),
        generator.integers(0, n_documents, n_rows).astype(np.uint64),
        np.cumsum([0, *counts]),
        np.concatenate([np.empty(0), *features]).astype(np.int32),
        generator.gamma(2.0, 2.0, counts.sum()).astype(np.float32),
        D_SAE,
    )


def assert_same(one, two) -> None:
    for name, value in vars(one).items():
        other = getattr(two, name)
        pairs = zip(value, other) if isinstance(value, SampledActivations) else [(value, other)]
        for a, b in pairs:
            np.testing.assert_array_equal(a, b, err_msg=name)


@given(st.integers(0, 10**6), st.lists(st.integers(0, 12), max_size=4), st.randoms())
def test_cutting_and_order_of_merging_change_nothing(seed, cuts, random) -> None:
    firings = make_firings(seed)
    edges = [0, *sorted(cuts), 12]
    parts = [
        count_activations(firings.rows(a, b), a) for a, b in itertools.pairwise(edges) if a < b
    ]
    random.shuffle(parts)
    found = empty_statistics(D_SAE)
    for part in parts:
        found = merge_statistics(found, part)
    assert_same(found, count_activations(firings, 0))


def test_counts_sums_and_contexts_are_those_counted_by_hand() -> None:
    firings = make_firings(3, n_rows=30, n_documents=20)
    found = count_activations(firings, 100)
    dense = firings.matrix().toarray()
    rows = firings.token_rows()
    np.testing.assert_array_equal(found.count, (dense > 0).sum(0))
    np.testing.assert_allclose(found.total / UNITS, dense.sum(0), rtol=1e-3)
    np.testing.assert_array_equal(found.maximum, dense.max(0))
    np.testing.assert_array_equal(found.histogram.sum(1), found.count)
    for feature in range(D_SAE):
        best: dict[int, float] = {}
        for token, value in enumerate(dense[:, feature]):
            document = int(firings.documents[rows[token]])
            if value > 0:
                best[document] = max(best.get(document, 0.0), value)
        top = found.top.of_feature(feature)
        expected = sorted(best.values(), reverse=True)[:TOP_CONTEXTS]
        np.testing.assert_array_equal(top.value, np.array(expected, np.float32))
        assert len(set(top.document.tolist())) == len(top.document)
        tokens = firings.row_starts[top.row - 100] + top.position
        np.testing.assert_array_equal(dense[tokens, feature], top.value)


def test_a_sample_is_drawn_evenly_over_documents() -> None:
    # One feature fires once in each of 2,000 documents: the values kept are typical of all.
    n = 2000
    values = np.linspace(1, 2, n, dtype=np.float32)
    firings = TokenActivations(
        np.zeros(n, np.int32), np.arange(n + 1), np.arange(n, dtype=np.uint64),
        np.arange(n + 1), np.zeros(n, np.int32), values, 1,
    )  # fmt: skip
    sample = count_activations(firings, 0).sample
    assert len(sample.value) == 64
    assert abs(sample.value.mean() - 1.5) < 4 * values.std() / 8


def test_records_keep_the_lowest_rank_of_each_document() -> None:
    column = np.array
    records = SampledActivations(
        column([1, 0, 0, 0, 1], np.int32),
        column([5, 9, 2, 4, 1], np.uint64),
        column([7, 7, 7, 8, 7], np.uint64),
        np.arange(5, dtype=np.int32),
        np.zeros(5, np.int32),
        np.ones(5, np.float32),
    )
    kept = keep_lowest(records, 2)
    assert kept.row.tolist() == [2, 3, 4]
    assert keep_lowest(records, 1).row.tolist() == [2, 4]


@pytest.mark.parametrize("value", [1e-9, 2.0**-8, 0.3, 1.0, 7.3, 4000.0, 1e9])
def test_every_activation_has_a_bin_whose_edges_hold_it(value) -> None:
    place = int(bin_of(np.array([value]))[0])
    edges = bin_edges()
    assert 0 <= place < N_BINS
    assert len(edges) == N_BINS + 1
    assert edges[BINS_PER_OCTAVE] == 2 * edges[0]
    if edges[0] <= value < edges[-1]:
        assert edges[place] <= value < edges[place + 1]
