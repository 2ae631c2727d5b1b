"""Words of tokenised rows: which word each token belongs to."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

WORD = re.compile(r"\W?([^\W\d_]+)")
"""A word, perhaps after a sign, as in `'t`; a control token is none."""


class TokenWords(NamedTuple):
    """The tokens of rows, and the word of each.

    A word is a run of letters. A token without letters is a unit of its own; its word is empty.
    """

    texts: list[str]
    """Text of each token, without white space around it; `n` in all."""
    words: list[str]
    """Lower-case word of each token, or ""."""
    capital: "Bool[np.ndarray, ' n']"
    """Whether the word begins with a capital letter."""
    breaks: "Bool[np.ndarray, ' n']"
    """Whether the token has a line break."""
    first: "Int[np.ndarray, ' n']"
    """Index of the first token of the token's unit."""
    last: "Int[np.ndarray, ' n']"
    """Index of its last token."""
    row_start: "Int[np.ndarray, ' n']"
    """Index of the first token of the token's row."""
    row_end: "Int[np.ndarray, ' n']"
    """Index after the last one."""


def token_words(
    token_ids: "Int[np.ndarray, ' n']",
    row_starts: "Int[np.ndarray, ' n_rows+1']",
    texts: Sequence[str],
) -> TokenWords:
    """Returns the word of every token.

    Args:
        token_ids: Rows one after another.
        row_starts: Index of each row's first token, and `n`.
        texts: The text of each vocabulary entry, white space included.
    """
    pieces = [str(texts[i]) for i in token_ids.tolist()]
    n = len(pieces)
    words, capital = [""] * n, np.zeros(n, bool)
    first, last = np.arange(n), np.arange(n)
    for start, end in zip(row_starts[:-1].tolist(), row_starts[1:].tolist()):
        for low, high in _units(pieces, start, end):
            first[low:high], last[low:high] = low, high - 1
            if match := WORD.fullmatch("".join(pieces[low:high]).strip()):
                words[low:high] = [match[1].lower()] * (high - low)
                capital[low:high] = match[1][0].isupper()
    lengths = np.diff(row_starts)
    return TokenWords(
        [piece.strip() for piece in pieces],
        words,
        capital,
        np.array(["\n" in piece for piece in pieces], bool),
        first,
        last,
        np.repeat(row_starts[:-1], lengths),
        np.repeat(row_starts[1:], lengths),
    )


def _units(pieces: Sequence[str], start: int, end: int) -> list[tuple[int, int]]:
    """Returns the first token of each unit of a row, and the one after its last."""
    units, low = [], start
    for token in range(start + 1, end + 1):
        if token == end or not (_goes_on(pieces[token]) and _is_word(pieces[token - 1])):
            units.append((low, token))
            low = token
    return units


def _goes_on(piece: str) -> bool:
    return piece[:1].isalpha()


def _is_word(piece: str) -> bool:
    return piece.strip().isalpha()
