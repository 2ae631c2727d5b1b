"""The word that a question is about: where it stands, and which words are its inflections."""

from typing import Any

from saetask.data import FieldError, Span, text_field


def word_field(row: dict[str, Any], start: str, word: str, sentence: str) -> Span:
    """Returns where a word stands in a sentence, as the row says, after a look at the place.

    Args:
        row: A data row.
        start: The field with the first character's offset.
        word: The field with the word as it stands there.
        sentence: The field with the sentence.

    Raises:
        FieldError: A field is missing, or the word does not stand there.
    """
    text, target, offset = text_field(row, sentence), text_field(row, word), row.get(start)
    if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        raise FieldError(start, f"expected a character offset, found {offset!r}.")
    found = text[offset : offset + len(target)]
    if found != target:
        raise FieldError(start, f"the sentence has {found!r} there, not {target!r}.")
    return Span(offset, offset + len(target))


def stem(word: str) -> str:
    """Returns what the inflections of an English word have in common."""
    import snowballstemmer

    return snowballstemmer.stemmer("english").stemWord(word.lower())
