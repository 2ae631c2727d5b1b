"""Reformulation: findings become annotations, annotations are written into the prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args, runtime_checkable

from saetask.data.prompts import Message, Prompt, Span
from saetask.detection.base import Misunderstanding
from saetask.errors import UserError, did_you_mean
from saetask.utils.plugin_options import option_names, with_options

if TYPE_CHECKING:
    from saetask.inference.endpoint import Endpoint

Placement = Literal["end", "start", "inline", "system"]
PLACEMENTS: tuple[Placement, ...] = get_args(Placement)


class Annotation(NamedTuple):
    """A note for the prompt, made from a finding."""

    text: str
    placement: Placement
    """After the message, before it, right after the misread span, or as a system message."""
    annotator: str


class Annotator(Protocol):
    """What an annotator plugin provides. Its input is findings, never gold answers.

    It may have options; see `Configurable`.
    """

    name: str

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns notes for a finding, in a fixed order of note templates and placements.

        Args:
            misunderstanding: The finding, with those of its concepts that a note may name.
            labels: What is known of the meaning of features.
        """
        ...


@runtime_checkable
class WritingAnnotator(Protocol):
    """An annotator plugin whose notes a language model writes.

    It may have options as well.
    """

    name: str

    @property
    def endpoint(self) -> "Endpoint | None":
        """The language model that writes; None has the model under test write."""
        ...

    def request(self, misunderstanding: Misunderstanding, labels: Mapping[int, str]) -> str:
        """Returns the request to the language model; the same for the same finding.

        Args:
            misunderstanding: The finding, with those of its concepts that a note may name.
            labels: What is known of the meaning of features.
        """
        ...

    def annotations(self, text: str) -> list[Annotation]:
        """Returns notes made of the reply, in a fixed order of note templates and placements.

        Args:
            text: The reply, whatever it may be; one that holds no note gives an empty list.
        """
        ...


def configured(
    annotators: "Sequence[Annotator | WritingAnnotator]", options: Mapping[str, Any]
) -> "list[Annotator | WritingAnnotator]":
    """Returns annotators with options set, each with the options that it declares.

    Raises:
        UserError: None of them has such an option, or one refuses a value.
    """
    known = [set(option_names(annotator)) for annotator in annotators]
    for name, value in options.items():
        if not any(name in names for names in known):
            which = ", ".join(annotator.name for annotator in annotators)
            hint = did_you_mean(name, set().union(*known))
            raise UserError(
                f"No annotator of this run ({which}) has an option '{name}' "
                f"(given as {value!r}).{hint}"
            )
    return [
        with_options("annotator", annotator, {n: v for n, v in options.items() if n in names})
        for annotator, names in zip(annotators, known)
    ]


def annotate(prompt: Prompt, annotation: Annotation, span: Span | None = None) -> Prompt:
    """Returns the prompt with a note, its named spans where they now are.

    Args:
        prompt: The original prompt.
        annotation: The note.
        span: The misread span of the content, for an inline note; None puts it at the end.

    Raises:
        UserError: It is no annotation or has a placement that is none, or the span is not in the
            content.
    """
    if not isinstance(annotation, Annotation) or not isinstance(annotation.text, str):
        raise UserError(
            f"An annotator returns {annotation!r:.60} as a note; it must be a "
            "saetask.annotation.Annotation whose text is a string."
        )
    content, note = prompt.content, annotation.text
    if annotation.placement not in PLACEMENTS:
        raise UserError(
            f"Annotator '{annotation.annotator}' gives its note {note[:40]!r} the placement "
            f"{annotation.placement!r}; it must be one of {', '.join(PLACEMENTS)}."
        )
    if span is not None and not 0 <= span.start <= span.end <= len(content):
        raise UserError(
            f"Annotator '{annotation.annotator}' annotates characters {span.start} to {span.end} "
            f"of a prompt that has {len(content)}; the detector's span is not in the prompt."
        )
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
