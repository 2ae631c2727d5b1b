"""The word of a token is the whole word that it is part of."""

import re

from hypothesis import given
from hypothesis import strategies as st

from saetask.data import Span
from saetask.detection.token_words import word_at


@given(st.text("ab '-é.", max_size=20), st.data())
def test_a_token_is_part_of_a_whole_word(content, data):
    first = data.draw(st.integers(0, len(content)))
    last = data.draw(st.integers(first, len(content)))
    word = word_at(content, Span(first, last))
    letters = [place for place in range(first, last) if content[place].isalpha()]
    assert bool(word) == bool(letters)
    if letters:
        words = list(re.finditer(r"[^\W\d_]+", content))
        assert word == next(m[0] for m in words if m.start() <= letters[0] < m.end())
