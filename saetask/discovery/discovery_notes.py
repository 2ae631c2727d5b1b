"""Notes on a discovery: its concept, as a finding that annotators write about, and fixed texts."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from saetask.annotation.base import Annotation, Annotator, Placement
from saetask.annotation.generated_notes import NoteSubject, generate_notes
from saetask.data.prompts import Span
from saetask.detection.base import ConceptEvidence, ConceptToken, Evidence, Misunderstanding
from saetask.saes.concepts import Concept

PLACES: tuple[Placement, ...] = ("end", "start")
"""Where notes are tried; a system message is refused by many chat templates."""
MOST_WORDS = 3
"""Maximum number of words that a note quotes from the prompt."""
MOST_FEATURES = 5
"""Maximum number of a concept's features that annotators are told, the strongest first."""


class DiscoveryNotes:
    """An annotator of fixed texts that name a discovery's concept, or quote where it is active."""

    name = "discovery"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns each text at each place."""
        tokens = [token for concept in misunderstanding.concepts for token in concept.tokens]
        quoted = ", ".join(f"“{token.text}”" for token in tokens[:MOST_WORDS]) or "its words"
        return [
            note._replace(text=note.text.replace("{words}", quoted))
            for note in note_templates(misunderstanding.reading)
        ]


def note_templates(name: str) -> list[Annotation]:
    """Returns notes on a concept, in a fixed order of texts and places; `{words}` is left open."""
    texts = (
        f"(Note: this is about {name}; take that into account.)",
        f"(Note: mind what is said about {name}, here {{words}}.)",
        "(Note: consider what {words} mean here before you answer.)",
    )
    return [Annotation(text, place, DiscoveryNotes.name) for text in texts for place in PLACES]


class CandidateNote(NamedTuple):
    """One text and place out of those that an annotator offers for a discovery."""

    annotator: Annotator
    number: int
    """Among its notes at one of `PLACES`."""

    def note(self, subject: NoteSubject) -> Annotation | None:
        """Returns the note on one prompt; None where the annotator has none for it."""
        notes = notes_at_places(self.annotator, subject)
        return notes[self.number] if self.number < len(notes) else None

    def shown(self, subjects: Sequence[NoteSubject]) -> Annotation | None:
        """Returns the note as it is shown: with open words, or the first one on some prompts."""
        if isinstance(self.annotator, DiscoveryNotes):
            return note_templates(subjects[0].misunderstanding.reading)[self.number]
        notes = (self.note(subject) for subject in subjects)
        return next((note for note in notes if note is not None), None)


def candidate_notes(
    annotators: Sequence[Annotator], subjects: Sequence[NoteSubject]
) -> list[CandidateNote]:
    """Returns every note that annotators offer for a discovery's prompts.

    Raises:
        UserError: A language model that writes notes can not be reached.
    """
    for annotator in annotators:
        generate_notes(annotator, subjects)
    return [
        CandidateNote(annotator, number)
        for annotator in annotators
        for number in range(max(len(notes_at_places(annotator, each)) for each in subjects))
    ]


def notes_at_places(annotator: Annotator, subject: NoteSubject) -> list[Annotation]:
    """Returns an annotator's notes that stand at one of `PLACES`."""
    return [note for note in annotator.candidates(*subject) if note.placement in PLACES]


def concept_finding(
    concept: Concept,
    text: str,
    place: Span,
    tokens: Sequence[ConceptToken],
    activations: Mapping[int, float],
    failure_rate: float,
) -> Misunderstanding:
    """Returns a discovery's concept in a prompt as a finding that annotators write about.

    Args:
        concept: The concept; its name is the finding's reading.
        text: What is read of the prompt.
        place: Its place in the prompt's content.
        tokens: Words of the text on which the concept is active, the strongest first.
        activations: Activation of those features that are active in the prompt.
        failure_rate: How often the model fails with the concept, on the discovery half.
    """
    weights = dict(zip(concept.features, concept.weights))
    active = sorted(activations, key=lambda feature: -weights[feature] * activations[feature])
    features = [Evidence(f, "", activations[f], weights[f]) for f in active[:MOST_FEATURES]]
    evidence = ConceptEvidence(
        concept.id,
        concept.text,
        1.0,
        concept.verdict,
        concept.name,
        list(tokens),
        active,
        list(concept.examples[:3]),
    )
    return Misunderstanding(
        "discover", place, text, concept.name, failure_rate, features, concepts=[evidence]
    )
