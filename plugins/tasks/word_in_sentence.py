"""The word that a question is about: where it stands, and which words are its inflections."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

Offset = Annotated[int, Field(ge=0)]
"""Place of a word's first character in its sentence, counted from 0."""


def checked_offset(offset: int, row: Mapping[str, Any], word: str, sentence: str) -> int:
    """Returns a word's offset once the word is found there; for a validator of a row's field.

    Args:
        offset: Where the word begins in the sentence.
        row: The fields validated so far; where one is missing, its own error is reported.
        word: The field with the word as it stands there.
        sentence: The field with the sentence.

    Raises:
        ValueError: The word does not stand there.
    """
    if word in row and sentence in row:
        there = row[sentence][offset : offset + len(row[word])]
        if there != row[word]:
            raise ValueError(f"the sentence has {there!r} there, not {row[word]!r}")
    return offset


def stem(word: str) -> str:
    """Returns what the inflections of an English word have in common."""
    import snowballstemmer

    return snowballstemmer.stemmer("english").stemWord(word.lower())
