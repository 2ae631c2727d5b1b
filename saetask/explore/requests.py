"""Bodies of requests, with bounds on every text and list."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from saetask.annotation.base import Annotation, Placement
from saetask.dictionary.editing import LARGEST_STRENGTH, Named
from saetask.dictionary.reader_verdicts import (
    LONGEST_NAME,
    LONGEST_TEXT,
    ReaderVerdict,
    Subject,
    Verdict,
    now,
)

LONGEST_PROMPT = 8000
"""Characters of a prompt."""
LONGEST_NOTE = 2000
PromptText = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_PROMPT)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)]


class Request(BaseModel):
    """Base of all bodies: no field but the declared ones, no conversion of types."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )


class ReadRequest(Request):
    """Where concepts and features fire in a text."""

    text: PromptText
    """The text, read as a user's message."""
    also: list[Name] = Field(default_factory=list, max_length=16)
    """Concepts, and features as `feature:12`, that are listed in any case."""


class DetectRequest(Request):
    """What is misread in a text, as a task asks about it."""

    task: Name
    """Name of the task."""
    text: PromptText
    """The text."""
    target: Name | None = None
    """The word in question, where the task has one."""
    without: list[Name] = Field(default_factory=list, max_length=32)
    """Concepts whose features are hidden from the fitted detector, by id."""


class NoteText(Request):
    """A note, as an annotator offered it or as the reader wrote it."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NOTE)]
    """Text of the note."""
    placement: Placement
    """Where it stands."""

    def annotation(self) -> Annotation:
        """Returns the note as an annotation by the reader."""
        return Annotation(self.text, self.placement, "reader")


class AskRequest(DetectRequest):
    """The same prompt asked again, with a note in it."""

    note: NoteText
    """The note."""


class SteerRequest(Request):
    """A prompt answered with features or concepts steered or ablated."""

    text: PromptText
    """The text."""
    task: Name | None = None
    """Name of the task that asks about the text; null has the model answer the text itself."""
    target: Name | None = None
    """The word in question, where the task has one."""
    steer: list[Name] = Field(default_factory=list, max_length=8)
    """Concepts, and features as `feature:12`, that are moved."""
    strength: float = 1.0
    """How far, in typical activations."""
    ablate: list[Name] = Field(default_factory=list, max_length=8)
    """Concepts and features that do not fire."""

    @field_validator("strength", mode="before")
    @classmethod
    def _is_strength(cls, value: object) -> object:
        reason = f"it must be a number from -{LARGEST_STRENGTH:g} to {LARGEST_STRENGTH:g}."
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(reason)
        if not abs(value) <= LARGEST_STRENGTH:  # which holds for nan, too
            raise ValueError(reason)
        return value

    def steered(self) -> dict[Named, float]:
        """Returns the strength of each feature and concept that is moved."""
        return dict.fromkeys(map(named, self.steer), self.strength)

    def ablated(self) -> list[Named]:
        """Returns the features and concepts that do not fire."""
        return [*map(named, self.ablate)]


def named(name: str) -> Named:
    """Returns a feature by its number where a name is `feature:12`; else the name of a concept."""
    kind, _, number = name.partition(":")
    is_feature = kind == "feature" and number.isascii() and number.isdigit()
    return int(number) if is_feature and len(number) < 10 else name


class CompareRequest(Request):
    """Features in which two sets of texts differ."""

    first: list[PromptText] = Field(min_length=1, max_length=32)
    """Some texts."""
    second: list[PromptText] = Field(min_length=1, max_length=32)
    """Others."""


class VerdictRequest(Request):
    """A reader's verdict; see `saetask.dictionary.reader_verdicts.ReaderVerdict`."""

    kind: Subject
    """What it is on."""
    id: Name
    """Number of the feature, id of the concept, or a name of the finding."""
    name: Annotated[str, StringConstraints(max_length=LONGEST_NAME)]
    """The name that the reader saw."""
    verdict: Verdict
    """What the reader says."""
    new_name: Name | None = None
    """The better name, of `rename`."""
    remark: Annotated[str, StringConstraints(max_length=LONGEST_TEXT)] = ""
    """The reader's own words."""
    text: Annotated[str, StringConstraints(max_length=LONGEST_TEXT)] = ""
    """The text that a finding is in."""

    def verdict_now(self) -> ReaderVerdict:
        """Returns the verdict with today's date.

        Raises:
            pydantic.ValidationError: Its fields contradict each other.
        """
        return ReaderVerdict(date=now(), **self.model_dump())
