"""The arms of an experiment: what each writes into a prompt, and what it controls for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from saetask.annotation.base import Annotation, Annotator, annotate
from saetask.annotation.generated_notes import Noted, ask_ahead
from saetask.data.prompts import Prompt
from saetask.detection.base import Misunderstanding


class Round(NamedTuple):
    """A note that was tried, and what the prompt was judged to be with it."""

    annotation: Annotation
    failure_before: float
    """Probability that the model's answer is wrong."""
    failure_after: float
    kept: bool


class ArmPrompt(NamedTuple):
    """An item's prompt in one arm."""

    prompt: Prompt
    annotation: Annotation | None
    misunderstandings: list[Misunderstanding]
    rounds: tuple[Round, ...] = ()
    """The notes that were tried, in the `closed-loop` arm."""


class Writer(NamedTuple):
    """Turns findings into prompts, in the style that was chosen on the fit split."""

    annotator: Annotator
    number: int
    """Which of the annotator's wordings."""
    labels: Mapping[int, str]

    def ask_ahead(self, findings: Iterable[Sequence[Misunderstanding]]) -> None:
        """Requests the notes on all these prompts' findings at once; see `notes`.

        Raises:
            UserError: A language model is to write them, and can not be reached.
        """
        ask_ahead(self.annotator, (Noted(found[0], self.labels) for found in findings if found))

    def write(self, prompt: Prompt, findings: list[Misunderstanding]) -> ArmPrompt:
        """Annotates the most probable finding; without a finding the prompt stays as it is."""
        for finding in findings[:1]:
            notes = self.annotator.candidates(finding, self.labels)
            if self.number < len(notes):
                note = notes[self.number]
                return ArmPrompt(annotate(prompt, note, finding.span), note, findings)
        return ArmPrompt(prompt, None, findings)


def fixed_note(prompt: Prompt, note: Annotation) -> ArmPrompt:
    """Writes the same note into any prompt."""
    return ArmPrompt(annotate(prompt, note), note, [])
