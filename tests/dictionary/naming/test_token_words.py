"""Tokens are joined to words, within their row only."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from saetask.dictionary.naming.token_words import token_words

TEXTS = ["<|im_start|>", "The", " swal", "lowed", " insult", ".", "\n", " 12", "'t", " don"]
ids = st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=12)


def words_of(*rows: list[int]):
    starts = np.cumsum([0, *map(len, rows)])
    return token_words(np.concatenate(rows).astype(np.int32), starts, TEXTS)


def test_the_pieces_of_a_word_have_one_word_and_its_first_and_last_token() -> None:
    tokens = words_of([0, 1, 2, 3, 4, 5])
    assert tokens.words == ["", "the", "swallowed", "swallowed", "insult", ""]
    assert tokens.first.tolist() == [0, 1, 2, 2, 4, 5]
    assert tokens.last.tolist() == [0, 1, 3, 3, 4, 5]
    assert tokens.capital.tolist() == [False, True, False, False, False, False]


def test_numbers_control_tokens_and_breaks_are_no_words_but_a_contraction_is() -> None:
    tokens = words_of([0, 7, 6, 9, 8])
    assert tokens.words == ["", "", "", "don", "t"]
    assert tokens.breaks.tolist() == [False, False, True, False, False]


@given(st.lists(ids, min_size=1, max_size=4))
def test_no_word_crosses_a_row_and_every_token_lies_in_its_unit(rows: list[list[int]]) -> None:
    tokens = words_of(*rows)
    places = np.arange(len(tokens.words))
    assert (tokens.row_start <= tokens.first).all() and (tokens.first <= places).all()
    assert (places <= tokens.last).all() and (tokens.last < tokens.row_end).all()
    for first, last in zip(tokens.first, tokens.last):
        assert len(set(tokens.words[first : last + 1])) == 1
