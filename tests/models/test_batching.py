"""Batches of rows of similar length."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from saetask.models.forward import MAX_LENGTH_RATIO, batches_by_length, right_padded

LENGTHS = st.lists(st.integers(1, 90), max_size=40)
BOUND = st.none() | st.integers(1, 12)


@given(LENGTHS, BOUND, BOUND.map(lambda n: n and 20 * n))
def test_every_row_is_in_one_batch_and_no_batch_is_beyond_its_bounds(lengths, rows, tokens):
    batches = list(batches_by_length(lengths, rows, tokens))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    in_order = [lengths[i] for batch in batches for i in batch]
    assert in_order == sorted(lengths)
    for batch in batches:
        longest = lengths[batch[-1]]
        assert longest <= MAX_LENGTH_RATIO * lengths[batch[0]]
        assert rows is None or len(batch) <= rows
        assert tokens is None or len(batch) == 1 or len(batch) * longest <= tokens


@given(LENGTHS, BOUND)
def test_a_batch_ends_only_where_it_must(lengths, rows):
    batches = list(batches_by_length(lengths, rows))
    for batch, following in pairwise(batches):
        assert len(batch) == rows or lengths[following[0]] > MAX_LENGTH_RATIO * lengths[batch[0]]


def test_rows_are_padded_on_the_right():
    assert right_padded([[5, 6, 7], [8]]).tolist() == [[5, 6, 7], [8, 0, 0]]
