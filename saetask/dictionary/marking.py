"""Contexts as a language model gets to read them."""

from collections.abc import Iterable

from saetask.dictionary.examples import PADDING
from saetask.dictionary.rules import Vocabulary


def context_text(window: Iterable[int], vocabulary: Vocabulary, marked: int | None = None) -> str:
    """Returns a context on one line, with one token marked <<like this>>.

    Args:
        window: Token ids; padding is left out.
        vocabulary: The model's tokens.
        marked: Place of the marked token in the window; None marks none.
    """
    texts = []
    for place, token_id in enumerate(window):
        if token_id != PADDING:
            text = vocabulary.texts[token_id]
            texts.append(_marked(text) if place == marked else text)
    return "".join(texts).strip(" ").replace("\r", "").replace("\n", "↵")


def _marked(text: str) -> str:
    """Leaves the spaces about a word outside the mark."""
    bare = text.strip(" ")
    return text.replace(bare, f"<<{bare}>>", 1) if bare else f"<<{text}>>"
