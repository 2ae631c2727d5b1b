"""Reformulation: findings become annotations, annotations are written into the prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, Protocol, get_args

from saetask.detection import Misunderstanding
from saetask.prompts import Message, Prompt, Span

Placement = Literal["end", "start", "inline", "system"]
PLACEMENTS: tuple[Placement, ...] = get_args(Placement)


class Annotation(NamedTuple):
    """A note for the prompt, made from a finding."""

    text: str
    placement: Placement
    """After the message, before it, right after the misread span, or as a system message."""
    annotator: str


class Annotator(Protocol):
    """What an annotator plugin provides. It sees findings, never gold answers."""

    name: str

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns notes for a finding, in a fixed order of wordings and placements.

        Args:
            misunderstanding: The finding.
            labels: What is known of the meaning of features.
        """
        ...


def annotate(prompt: Prompt, annotation: Annotation, span: Span | None = None) -> Prompt:
    """Returns the prompt with a note, its named spans where they now are.

    Args:
        prompt: The original prompt.
        annotation: The note.
        span: The misread span of the content, for an inline note; None puts it at the end.
    """
    content, note = prompt.content, annotation.text
    if annotation.placement == "system":
        return replace(prompt, messages=_with_system(prompt.messages, note))
    if annotation.placement == "start":
        return _inserted(prompt, 0, f"{note}\n")
    if annotation.placement == "inline" and span is not None:
        return _inserted(prompt, span.end, f" {note}")
    return _inserted(prompt, len(content), f"\n{note}")


def _with_system(messages: Sequence[Message], note: str) -> list[Message]:
    """Returns the messages with a note in the system message, which may be new."""
    if messages[0]["role"] == "system":
        content = f"{messages[0]['content']}\n{note}"
        return [{**messages[0], "content": content}, *messages[1:]]
    return [{"role": "system", "content": note}, *messages]


def _inserted(prompt: Prompt, place: int, text: str) -> Prompt:
    """Returns the prompt with a text in its last message; a span around the place grows."""
    content = prompt.content
    spans = {}
    for name, span in prompt.spans.items():
        moves = span.start >= place
        grows = moves or span.end > place
        spans[name] = Span(span.start + len(text) * moves, span.end + len(text) * grows)
    changed = prompt.with_content(content[:place] + text + content[place:])
    return replace(changed, spans=spans)
