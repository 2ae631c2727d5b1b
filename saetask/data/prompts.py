"""Prompts: chats with named spans."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Message = Mapping[str, str]
"""A chat message: `{"role": ..., "content": ...}`."""


class Span(NamedTuple):
    """A half-open range of characters."""

    start: int
    end: int

    def overlaps(self, other: "Span") -> bool:
        """Returns whether the two ranges share a character."""
        return max(self.start, other.start) < min(self.end, other.end)

    def shifted(self, by: int) -> "Span":
        """Returns the span moved by a number of characters."""
        return Span(self.start + by, self.end + by)


@dataclass(frozen=True)
class Prompt:
    """A chat whose last message is the user's, with an optional beginning of the answer."""

    messages: Sequence[Message]
    answer_prefix: str = ""
    """Text that the answer begins with."""
    spans: Mapping[str, Span] = field(default_factory=dict)
    """Named ranges of the last message's content, such as `target` and `text`."""

    @property
    def content(self) -> str:
        """The last message's content."""
        return self.messages[-1]["content"]

    @property
    def text(self) -> str:
        """The contents of all messages, joined by newlines: a note may be in a system message."""
        return "\n".join(message["content"] for message in self.messages)

    def with_content(self, content: str) -> "Prompt":
        """Returns the prompt with another last message, without the spans of the old one."""
        last = {**self.messages[-1], "content": content}
        return Prompt([*self.messages[:-1], last], self.answer_prefix)


def as_prompt(text: str) -> Prompt:
    """Returns a prompt with the text as its only message."""
    return Prompt([{"role": "user", "content": text}], spans={"text": Span(0, len(text))})
