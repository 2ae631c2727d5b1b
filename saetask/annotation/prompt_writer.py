"""Annotated prompts: a finding, or a fixed note, written into a sample's prompt."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from saetask.annotation.base import Annotation, Annotator, annotate
from saetask.annotation.generated_notes import NoteSubject, generate_notes
from saetask.data.prompts import Prompt
from saetask.detection.base import Misunderstanding
from saetask.dictionary.feature_labels import FeatureLabels
from saetask.models.additions import Addition


class Round(NamedTuple):
    """One round of the closed loop: a note, and the failure probability without and with it."""

    annotation: Annotation
    failure_before: float
    """Probability that the model's answer is wrong."""
    failure_after: float
    kept: bool


class ArmPrompt(NamedTuple):
    """A sample's prompt in one arm."""

    prompt: Prompt
    annotation: Annotation | None
    misunderstandings: list[Misunderstanding]
    rounds: tuple[Round, ...] = ()
    """The notes that were tried, in the `closed-loop` arm."""
    own_offset: bool = False
    """The answer gets the arm's own offset though the prompt holds no note."""
    answer: str | None = None
    """What is taken as the answer without asking the model; None asks it."""
    addition: Addition | None = None
    """What is added to the activations of the prompt, in arms that write nothing."""

    @property
    def takes_offset(self) -> bool:
        """Whether the answer gets the arm's own offset: it has a note, or the arm says so."""
        return self.own_offset or self.annotation is not None


class NoteTemplate(NamedTuple):
    """One text and placement out of those that an annotator offers."""

    annotator: Annotator
    number: int
    """Index into `annotator.candidates(...)`."""


class PromptAnnotator(NamedTuple):
    """Writes findings into prompts with one note template and the labels of their features."""

    template: NoteTemplate
    labels_for_annotation: Mapping[int, str]
    """Labels that the note may quote."""
    labels_for_display: Mapping[int, str]
    """Labels that the reader of a finding is shown."""
    unvalidated: bool = False
    """Whether the note may name concepts that are not validated."""

    def labelled(self, findings: Sequence[Misunderstanding]) -> list[Misunderstanding]:
        """Returns the findings with the labels of their features filled in."""
        return label_evidence(findings, self.labels_for_display)

    def write(self, prompt: Prompt, findings: Sequence[Misunderstanding]) -> ArmPrompt:
        """Annotates the most probable finding; without a finding the prompt is left unchanged."""
        labelled = self.labelled(findings)
        for finding in labelled[:1]:
            notes = self.offered(finding)
            if self.template.number < len(notes):
                note = notes[self.template.number]
                return ArmPrompt(annotate(prompt, note, finding.span), note, labelled)
        return ArmPrompt(prompt, None, labelled)

    def offered(self, finding: Misunderstanding) -> list[Annotation]:
        """Returns the notes that the annotator offers for a finding, by all its templates."""
        return self.template.annotator.candidates(*self._subject(finding))

    def generate_notes(self, findings: Iterable[Sequence[Misunderstanding]]) -> None:
        """Has the notes on several prompts' findings generated in one batch.

        Does nothing where the annotator needs no language model.

        Raises:
            UserError: The language model that writes them can not be reached.
        """
        labelled = [self.labelled(found) for found in findings if found]
        generate_notes(self.template.annotator, (self._subject(found[0]) for found in labelled))

    def _subject(self, finding: Misunderstanding) -> NoteSubject:
        """Returns the finding as the annotator gets it: with what it may quote, and no more."""
        quotable = finding if self.unvalidated else with_validated_concepts(finding)
        return NoteSubject(quotable, self.labels_for_annotation)


def make_prompt_annotator(
    template: NoteTemplate,
    feature_labels: FeatureLabels | None,
    findings: Iterable[Sequence[Misunderstanding]],
) -> PromptAnnotator:
    """Returns an annotator with the labels of the features that some findings name.

    Args:
        template: The note template.
        feature_labels: Where labels are looked up; None for features without labels, such as those
            of a random dictionary.
        findings: Everything that is going to be written.
    """
    named = {e.id for found in findings for finding in found for e in finding.features}
    if feature_labels is None:
        return PromptAnnotator(template, {}, {})
    features = sorted(named)
    return PromptAnnotator(
        template,
        feature_labels.for_annotation(features),
        feature_labels.for_display(features),
        feature_labels.unvalidated,
    )


def with_validated_concepts(finding: Misunderstanding) -> Misunderstanding:
    """Returns a finding without the concepts whose names were not validated."""
    return finding._replace(concepts=tuple(c for c in finding.concepts if c.verdict == "validated"))


def label_evidence(
    findings: Sequence[Misunderstanding], labels: Mapping[int, str]
) -> list[Misunderstanding]:
    """Returns findings with the labels of their features filled in; unknown ones get ""."""
    return [
        finding._replace(
            features=[e._replace(label=labels.get(e.id, "")) for e in finding.features]
        )
        for finding in findings
    ]


def fixed_note(prompt: Prompt, note: Annotation) -> ArmPrompt:
    """Writes a note that depends on no finding into a prompt."""
    return ArmPrompt(annotate(prompt, note), note, [])
