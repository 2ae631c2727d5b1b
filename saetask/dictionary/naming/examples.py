"""Labelled examples of a contrast: sentences, perhaps with one marked word, in groups."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import ConfigDict, model_validator

from saetask.data.prompts import Prompt, Span
from saetask.data.word_classes import lemma_of
from saetask.dictionary.documents import Document

OPENS, CLOSES = "«", "»"
"""The signs around a marked word."""
TEXT, WORD = "{text}", "{word}"
"""What stands for the sentence and for its marked word in a question."""


class MarkedText(NamedTuple):
    """A sentence, and where its marked word stands in it."""

    text: str
    """Without the signs."""
    word: Span | None
    """None where no word is marked."""


def parse_marked(marked: str) -> MarkedText:
    """Returns a sentence without the signs around its marked word, and where that word stands.

    Raises:
        ValueError: The signs are not one pair around a word.
    """
    start, end = marked.find(OPENS), marked.find(CLOSES)
    if start < 0 and end < 0:
        return MarkedText(marked, None)
    counts = {marked.count(OPENS), marked.count(CLOSES)}
    word = marked[start + 1 : end]
    if counts != {1} or start > end or not word or word != word.strip():
        raise ValueError(f"mark one word, with {OPENS} before it and {CLOSES} after it: {marked!r}")
    text = marked[:start] + word + marked[end + 1 :]
    return MarkedText(text, Span(start, start + len(word)))


class Example(Document):
    """A sentence in which something is present, or is not."""

    model_config = ConfigDict(strict=False)

    text: str
    """The sentence; one word of it may stand between « and »."""
    group: str = ""
    """Examples of one group choose features or try them together; by default those of one marked
    word, by its lemma, or else each sentence is a group of its own."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"text": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_marked_rightly(self) -> "Example":
        if not parse_marked(self.text).text.strip():
            raise ValueError("an example must not be empty")
        return self

    @property
    def marked(self) -> MarkedText:
        """The sentence and the place of its marked word."""
        return parse_marked(self.text)

    @property
    def word(self) -> str:
        """The marked word; "" without one."""
        text, place = self.marked
        return "" if place is None else text[place.start : place.end]

    @property
    def own_group(self) -> str:
        """The group, given or by default."""
        return self.group or lemma_of(self.word.lower()) or self.text


def asked_prompt(message: str, example: Example) -> Prompt:
    """Returns the chat in which an example is asked about, with the spans `text` and `target`.

    Args:
        message: The message, with `TEXT` once in the place of the sentence, and `WORD` in that of
            the marked word.
        example: The example; without a marked word there is no span `target`.
    """
    text, word = example.marked
    before, after = (part.replace(WORD, example.word) for part in message.split(TEXT))
    spans = {"text": Span(0, len(text)).shifted(len(before))}
    if word is not None:
        spans["target"] = word.shifted(len(before))
    return Prompt([{"role": "user", "content": before + text + after}], spans=spans)


def choosing_half(groups: Sequence[str], present: np.ndarray) -> np.ndarray:
    """Returns which examples choose features, `[n]`; the others try them. No group is in both.

    Groups are dealt out in turn: first those that have examples of both kinds, then those with one
    kind alone, so that both halves have either kind.

    Args:
        groups: Group of each example.
        present: Whether it is an example, and not one of the others, `[n]`.
    """
    kinds: dict[str, set[bool]] = {}
    for group, is_present in zip(groups, present.tolist()):
        kinds.setdefault(group, set()).add(is_present)
    order = sorted(kinds, key=lambda group: (-len(kinds[group]), True in kinds[group]))
    chosen = set(order[::2])
    return np.array([group in chosen for group in groups], bool)
