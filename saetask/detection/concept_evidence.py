"""Concepts for and against a reading: a probe's log-odds, taken apart exactly."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.detection.alike_prompts import ConceptActivity
from saetask.detection.base import ConceptEvidence, ConceptToken, DetectorInput, Misunderstanding
from saetask.detection.probe_features import tokens_read
from saetask.detection.token_words import place_in_content, word_at
from saetask.saes.activations import FeatureActivations
from saetask.saes.concepts import Concept
from saetask.saes.described_words import describes

if TYPE_CHECKING:
    from jaxtyping import Float64

LISTED = 5
"""Maximum number of concepts that are listed for a reading, and against it."""
TOKENS = 8
"""Maximum number of tokens that are listed of a concept."""
CONTEXTS = 3


class ConceptTerms(NamedTuple):
    """Log-odds of each class in one prompt, and the parts that they are the sum of."""

    log_odds: "Float64[np.ndarray, 'class']"
    """As the probe computes them."""
    terms: "Float64[np.ndarray, 'class concept']"
    """What each concept adds."""
    rest: "Float64[np.ndarray, 'class']"
    """What no concept adds: the bias, and features without a concept."""
    by_token: "Float64[np.ndarray, 'class concept token']"
    """What the concept's features add that fire most on each token of the prompt."""
    fires_less: Collection[int] = ()
    """Concepts that fire less than usual in the prompt: no token shows what they add."""
    activity: "Float64[np.ndarray, ' concept'] | None" = None
    """Sum of the log-activations of each concept's features, to compare with other prompts."""


def explain_by_concepts(
    misunderstanding: Misunderstanding,
    detector_input: DetectorInput,
    readings: Sequence[str],
    concepts: Sequence[Concept],
    parts: ConceptTerms,
    regions: Sequence[str],
    in_fit: ConceptActivity | None = None,
) -> Misunderstanding:
    """Returns a misunderstanding with the concepts that add most to its reading, and take most.

    All is counted against the mean of the other readings. What concepts beyond the listed ones add
    goes into `unlisted` and `rest`, and what concepts of the mere form of words add into `rest`.

    Args:
        misunderstanding: The misunderstanding.
        detector_input: The prompt.
        readings: The reading of each class.
        concepts: The concepts that the log-odds are taken apart by.
        parts: The log-odds and their parts.
        regions: Regions of the prompt that the probe reads.
        in_fit: How active the concepts are in the prompts that the probe was fitted on.
    """
    chosen = readings.index(misunderstanding.reading)
    added, by_token = (against_others(each)[chosen] for each in (parts.terms, parts.by_token))
    listed = _listed(added, concepts)
    telling = [i for i, concept in enumerate(concepts) if concept.subject != "form"]
    not_listed = np.delete(added, listed).sum()
    tokens = tokens_read(detector_input, regions)
    others = [number for number in range(len(readings)) if number != chosen]
    evidence = []
    for number in listed:
        for_another = max(others, key=lambda other: parts.terms[other, number])
        speaks_for = chosen if added[number] > 0 else for_another
        fires_less, alike = number in parts.fires_less, None
        if in_fit is not None and parts.activity is not None:
            activity = float(parts.activity[number])
            alike = in_fit.alike(concepts[number].id, activity, fires_less, speaks_for)
        of_concept = _evidence(
            detector_input,
            concepts[number],
            float(added[number]),
            readings[speaks_for],
            by_token[number],
            tokens,
            fires_less,
        )
        evidence.append(of_concept._replace(alike=alike))
    return misunderstanding._replace(
        log_odds=float(against_others(parts.log_odds)[chosen]),
        rest=float(against_others(parts.rest)[chosen] + not_listed),
        unlisted=float(added[telling].sum() - added[listed].sum()),
        concepts=evidence,
    )


def against_others(values: np.ndarray) -> np.ndarray:
    """Returns each class's values minus the mean of the other classes', along the first axis."""
    return values - (values.sum(0) - values) / (len(values) - 1)


def _listed(added: np.ndarray, concepts: Sequence[Concept]) -> list[int]:
    """Returns the indices of the concepts to list, those for the reading first."""
    order = [i for i in np.argsort(-added, kind="stable") if concepts[i].subject != "form"]
    speaking_for = [i for i in order if added[i] > 0][:LISTED]
    against = [i for i in order[::-1] if added[i] < 0][:LISTED]
    return [int(i) for i in (*speaking_for, *against)]


def _evidence(
    detector_input: DetectorInput,
    concept: Concept,
    contribution: float,
    reading: str,
    by_token: "Float64[np.ndarray, 'token']",
    tokens: Sequence[int],
    fires_less: bool,
) -> ConceptEvidence:
    firing = detector_input.activations.restricted(np.array(concept.features, dtype=np.int64))
    speaking = np.flatnonzero(by_token * contribution * (not fires_less) > 0)
    found: list[ConceptToken] = []
    features = {f for t in tokens for f in firing.features[_firings(firing, t)].tolist()}
    for token in speaking[np.argsort(-np.abs(by_token[speaking]), kind="stable")].tolist():
        strongest = float(np.abs(firing.values[_firings(firing, token)]).max(initial=0.0))
        added = float(by_token[token])
        if shown := _shown_token(detector_input, concept, token, strongest, added):
            found.append(shown)
    return ConceptEvidence(
        concept.id,
        concept.text,
        contribution,
        concept.verdict,
        reading,
        found[:TOKENS],
        sorted(features),
        list(concept.examples[:CONTEXTS]),
        fires_less,
    )


def _firings(activations: FeatureActivations, token: int) -> slice:
    """Returns where the firings on a token of one prompt stand."""
    return slice(*activations.indptr[[token, token + 1]])


def _shown_token(
    detector_input: DetectorInput, concept: Concept, token: int, activation: float, adds: float
) -> ConceptToken | None:
    """Returns a token with its place in the content; None for one of the chat template."""
    place = place_in_content(detector_input, token)
    if place is None:
        return None
    content = detector_input.content
    word, text = word_at(content, place), content[place.start : place.end]
    fits = describes(concept.id, word)
    return ConceptToken(place.start, place.end, text, activation, adds, word, fits)
