"""Mending of all confirmed discoveries of a log, by the model that was read."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.annotation.base import Annotator, WritingAnnotator
from saetask.annotation.generated_notes import NoteSubject, with_generated_notes
from saetask.compute.executor import Executor
from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import Prompt
from saetask.detection.base import ConceptToken
from saetask.dictionary.feature_labels import FeatureLabels
from saetask.discovery import asking
from saetask.discovery.discovery_notes import DiscoveryNotes, concept_finding
from saetask.discovery.documents import FiringToken
from saetask.discovery.mended import mended_documents
from saetask.discovery.mended_document import Mended
from saetask.discovery.mending import Slice, mend
from saetask.discovery.result import DiscoveryResult
from saetask.discovery.shown_prompts import firing_tokens
from saetask.errors import UserError
from saetask.inference.client import ModelClient
from saetask.inference.requests import GenerateRequest, tokenise
from saetask.saes.concepts import Concept

if TYPE_CHECKING:
    from saetask.models.loading import Model

NOTE_TOKENS = 60
"""Room for a note, in tokens."""
NO_OTHER = Concept("none", "the weather", "on", (), ())
"""What the note on another concept names where there is no other."""
_WORD = re.compile(r"\w+(?:['’]\w+)*")


def mend_discoveries(
    result: DiscoveryResult,
    journal: Path | None = None,
    annotators: "Sequence[Annotator | WritingAnnotator]" = (),
    executor: Executor | None = None,
) -> list[Mended]:
    """Tries notes on each confirmed discovery; see `mend`.

    Args:
        result: A discovery in a log whose prompts can be asked again (`check_mendable`).
        journal: A file that answers are kept in; None keeps none.
        annotators: Further annotators whose notes are tried beside those of `DiscoveryNotes`.
        executor: Runs the model; None runs it in this process.

    Returns:
        A document for each discovery with enough prompts in both halves that have room for a note.

    Raises:
        UserError: A language model that writes notes can not be reached.
    """
    client = ModelClient(result.labels.model, journal, executor)
    writing = [DiscoveryNotes(), *(with_generated_notes(each, client) for each in annotators)]
    confirmed = [i for i, row in enumerate(result.rows) if row.confirmed]
    slices = [_slice(result, number) for number in confirmed]
    return mended_documents(mend(client, slices, writing))


def _slice(result: DiscoveryResult, number: int) -> Slice:
    row, concept = result.rows[number], result.hypotheses[number].concept
    assert concept is not None
    model, sae, present = result.labels.model, result.labels.sae, result.presence[:, number]
    places = [i for i in np.flatnonzero(present).tolist() if fits(model, result.items[i])]
    half = result.halves.discovery
    rate = float(result.failures[half[present[half]]].mean())
    wanted = [(i, concept, row.threshold) for i in places]
    fired = firing_tokens(model, sae, result.reading.rendered, wanted)
    other, labels = _other_concept(result, number), result.labels
    subjects = [
        (
            _subject(result, i, concept, tokens, rate, labels),
            _subject(result, i, other, tokens, rate, labels),
        )
        for i, tokens in zip(places, fired)
    ]
    return Slice(
        row.concept,
        concept.name,
        [result.items[i] for i in places],
        [about for about, _ in subjects],
        [about_another for _, about_another in subjects],
        np.isin(places, result.halves.confirmation),
    )


def _subject(
    result: DiscoveryResult,
    item: int,
    concept: Concept,
    tokens: Sequence[FiringToken],
    rate: float,
    labels: FeatureLabels,
) -> NoteSubject:
    """Returns what a note on an item's prompt is about: a concept, where another is active."""
    text, place = result.reading.texts[item], result.reading.spans[item]
    readings: Any = result.reading.sae.readings.features[[item]]
    strengths = np.expm1(readings.toarray()[0])
    active = {f: float(strengths[f]) for f in concept.features if strengths[f] > 0}
    words = fired_words(text, tokens)
    finding = concept_finding(concept, text, place, words, active, rate)
    return NoteSubject(finding, labels.for_annotation([each.id for each in finding.features]))


def fits(model: "Model", item: EvaluatedItem) -> bool:
    """Returns whether a prompt, with a note and an answer, has room in the model's context."""
    assert isinstance(item.prompt, Prompt)  # see `check_mendable`
    try:
        tokenise(model, GenerateRequest(item.prompt, NOTE_TOKENS + asking.MAX_NEW_TOKENS))
    except UserError:
        return False
    return True


def fired_words(text: str, tokens: Sequence[FiringToken]) -> list[ConceptToken]:
    """Returns the words of a text on which tokens fire, strongest first, each once."""
    found: dict[str, ConceptToken] = {}
    words = list(_WORD.finditer(text))
    for token in sorted(tokens, key=lambda token: -token.activation):
        for word in words:
            if word.start() < token.end and token.start < word.end():
                said = ConceptToken(word.start(), word.end(), word.group(), token.activation)
                found.setdefault(word.group(), said)
    return list(found.values())


def _other_concept(result: DiscoveryResult, number: int) -> Concept:
    """Returns another hypothesis' concept, the least present in the discovery's prompts."""
    present = result.presence[result.presence[:, number]]
    shares = present.mean(axis=0) if len(present) else np.zeros(result.presence.shape[1])
    others = [i for i in np.argsort(shares, kind="stable").tolist() if i != number]
    named = [result.hypotheses[i].concept for i in others]
    return next((concept for concept in named if concept is not None), NO_OTHER)
