"""What every chat begins with is left out; what texts were written with stays."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from saetask.dictionary.naming.openings import opening_lengths, without_openings
from saetask.saes.activations import TokenActivations

HEADER = [1, 2, 3, 4, 5]
rows = st.lists(st.lists(st.integers(10, 60), min_size=3, max_size=8), min_size=1, max_size=6)


def activations_of(*rows: list[int]) -> TokenActivations:
    """Every token fires one feature, whose activation is the token's id."""
    ids = np.concatenate(rows).astype(np.int32)
    starts = np.cumsum([0, *map(len, rows)])
    places = np.arange(len(ids) + 1)
    documents = np.arange(len(rows)).astype(np.uint64)
    features, values = np.zeros(len(ids), np.int32), ids.astype(np.float32)
    return TokenActivations(ids, starts, documents, places, features, values, 1)


@given(rows)
def test_a_header_goes_and_the_rest_of_each_row_stays_with_its_firings(texts) -> None:
    chats = [[*HEADER, 100 + n, *text] for n, text in enumerate([*texts] * 30)]
    left = without_openings(activations_of(*chats))
    assert np.diff(left.row_starts).tolist() == [len(chat) - len(HEADER) for chat in chats]
    assert left.token_ids.tolist() == [token for chat in chats for token in chat[len(HEADER) :]]
    assert left.values.tolist() == left.token_ids.tolist()


def test_rows_that_share_no_opening_stay_as_they_are() -> None:
    texts = [[n, n + 1, n + 2, n + 3, n + 4, n + 5] for n in range(60)]
    assert opening_lengths(activations_of(*texts)).tolist() == [0] * 60


def test_a_first_word_that_many_texts_have_is_no_opening() -> None:
    texts = [[1, n, n + 1, n + 2, n + 3] for n in range(10, 70)]
    assert not opening_lengths(activations_of(*texts)).any()


def test_a_row_is_never_left_without_tokens() -> None:
    left = without_openings(activations_of(*[HEADER] * 60))
    assert (np.diff(left.row_starts) > 0).all()
