"""Reformulation: findings become annotations, annotations are written into the prompt."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

from saetask.detection import Misunderstanding
from saetask.prompts import Prompt, Span

Placement = Literal["end", "start", "inline"]


class Annotation(NamedTuple):
    """A note for the prompt, made from a finding."""

    text: str
    placement: Placement
    """After the message, before it, or right after the misread span."""
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
    """Returns the prompt with a note in its last message.

    Args:
        prompt: The original prompt.
        annotation: The note.
        span: The misread span of the content, for an inline note; None puts it at the end.
    """
    content = prompt.content
    if annotation.placement == "start":
        return prompt.with_content(f"{annotation.text}\n{content}")
    if annotation.placement == "inline" and span is not None:
        head, tail = content[: span.end], content[span.end :]
        return prompt.with_content(f"{head} {annotation.text}{tail}")
    return prompt.with_content(f"{content}\n{annotation.text}")
