"""The arms of an experiment: what each writes into a prompt, and what it controls for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from saetask.detection import Misunderstanding
from saetask.notes import Noted, ask_ahead
from saetask.prompts import Prompt
from saetask.reformulation import Annotation, Annotator, annotate

ARMS: Mapping[str, str] = {
    "original": "the prompt as it is",
    "generic": "any request for care would help",
    "placebo": "any further text would help",
    "random-feature": "any features would do: the detector's weights moved to random live features",
    "shuffled": "any finding would do: another item's, of another group, written about this one",
    "self": "no SAE is needed: the model writes its own note",
    "optimised-prompt": "one instruction for all items does it, optimised on the fit split by GEPA",
    "dense-probe": "no features are needed: a linear probe on the raw activations finds as much",
    "random-sae": "no training is needed: the same pipeline on a frozen random dictionary",
    "closed-loop": "re-reading: a note is kept only if the annotated prompt is read better",
    "always": "no gate is needed: the most probable reading is written into every prompt",
    "saetask": "the finding, written into the prompt",
    "oracle": "upper bound: the right reading, written into the prompt",
}
"""Name and purpose of each arm, in the order they are reported."""
DEFAULT_ARMS = tuple(arm for arm in ARMS if arm != "optimised-prompt")
"""All but one that is slow and needs an extra."""

GENERIC = Annotation("(Note: read the text carefully before you answer.)", "end", "generic")
PLACEBO = Annotation("(Note: this text is one of several on the same page.)", "end", "placebo")
SELF_REQUEST = "\nDo not answer yet. In one short sentence, say how this text is to be understood."
SELF_TOKENS = 24
MATCHED_BLOCK = 20
"""Features change places with others among so many neighbours in firing density."""


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


def self_request(prompt: Prompt) -> Prompt:
    """Returns what the model is asked for its own note, in the `self` arm."""
    return Prompt(prompt.with_content(prompt.content + SELF_REQUEST).messages, "Note:")


def self_note(prompt: Prompt, output: str) -> ArmPrompt:
    """Writes the model's own note into a prompt: the first line that it generated."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if not lines:
        return ArmPrompt(prompt, None, [])
    return fixed_note(prompt, Annotation(f"(Note: {lines[0]})", "end", "self"))


def about(prompt: Prompt, findings: Sequence[Misunderstanding]) -> list[Misunderstanding]:
    """Returns another prompt's findings as if they were this one's: the `shuffled` arm's."""
    span = prompt.spans.get("target", prompt.spans["text"])
    text = prompt.content[span.start : span.end]
    return [found._replace(span=span, text=text) for found in findings]


def gold_finding(prompt: Prompt, reading: str | None) -> list[Misunderstanding]:
    """Returns the finding of a detector that knows the gold reading: the `oracle` arm's."""
    if reading is None:
        return []
    span = prompt.spans.get("target", prompt.spans["text"])
    text = prompt.content[span.start : span.end]
    return [Misunderstanding("oracle", span, text, reading, 1.0, [])]


def frequency_matched(density: np.ndarray, generator: np.random.Generator) -> dict[int, int]:
    """Maps every live feature to another one that fires about as often, one to one.

    Args:
        density: How often each feature of the SAE fires, `[d_sae]`.
        generator: Source of randomness.
    """
    live = np.flatnonzero(density)
    live = live[np.argsort(density[live], kind="stable")]
    mapping: dict[int, int] = {}
    for block in np.array_split(live, max(1, len(live) // MATCHED_BLOCK)):
        shuffled = generator.permutation(block)
        mapping.update(zip(shuffled.tolist(), np.roll(shuffled, 1).tolist()))
    return mapping
