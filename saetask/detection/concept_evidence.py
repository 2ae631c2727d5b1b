"""Concepts for and against a reading: a probe's log-odds, taken apart exactly."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.detection.alike_prompts import ConceptActivity
from saetask.detection.base import ConceptEvidence, ConceptToken, DetectorInput, Misunderstanding
from saetask.detection.probe_features import tokens_read
from saetask.detection.token_words import place_in_content, token_word, word_at
from saetask.saes.activations import FeatureActivations
from saetask.saes.concepts import Concept
from saetask.saes.described_words import describes

if TYPE_CHECKING:
    from jaxtyping import Float64

LISTED = 5
"""Maximum number of concepts that are listed for a reading, and against it."""
TOKENS, LESS_ON = 8, 2
"""Maximum number of tokens that are listed of a concept, and of words of one that fires less."""
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
    rest_by_token: "Float64[np.ndarray, 'class token'] | None" = None
    """What features without a concept add beyond the average prompt, by the token on which they
    fire most; None where all features have one."""
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

    All is counted against the reading of the model's answer (see `rival_of`). What concepts beyond
    the listed ones add goes into `unlisted` and `rest`, and what concepts of the mere form of words
    add into `rest`.

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
    rival = rival_of(detector_input, readings, chosen, parts.log_odds)
    added, by_token = (each[chosen] - each[rival] for each in (parts.terms, parts.by_token))
    listed = _listed(added, concepts)
    telling = [i for i, concept in enumerate(concepts) if concept.subject != "form"]
    not_listed = np.delete(added, listed).sum()
    tokens = tokens_read(detector_input, regions)
    evidence = []
    for number in listed:
        speaks_for = chosen if added[number] > 0 else rival
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
    rest = float(parts.rest[chosen] - parts.rest[rival] + not_listed)
    unlisted = float(added[telling].sum() - added[listed].sum())
    unnamed = np.delete(by_token, telling, axis=0).sum(0)
    if parts.rest_by_token is not None:
        unnamed = unnamed + parts.rest_by_token[chosen] - parts.rest_by_token[rival]
    return misunderstanding._replace(
        log_odds=float(parts.log_odds[chosen] - parts.log_odds[rival]),
        rest=rest,
        unlisted=unlisted,
        concepts=evidence,
        against=readings[rival],
        unnamed_tokens=_unnamed_tokens(detector_input, unnamed, np.sign(rest - unlisted)),
    )


def rival_of(
    detector_input: DetectorInput,
    readings: Sequence[str],
    chosen: int,
    log_odds: "Float64[np.ndarray, ' class']",
) -> int:
    """Returns the class that a reading is held against.

    That is the reading of the model's calibrated answer: why does the detector say another one?
    Where the answer stands for no reading, or for this one, it is the likeliest other one.
    """
    if (answer := detector_input.answer) in readings and answer != readings[chosen]:
        return readings.index(answer)
    others = np.delete(np.arange(len(readings)), chosen)
    return int(others[log_odds[others].argmax()])


def _unnamed_tokens(
    detector_input: DetectorInput, by_token: "Float64[np.ndarray, 'token']", sign: float
) -> list[ConceptToken]:
    """Returns the tokens on which features without a telling name add most, of one sign."""
    speaking = np.flatnonzero(by_token * sign > 0)
    strongest = speaking[np.argsort(-np.abs(by_token[speaking]), kind="stable")]
    activations = detector_input.activations
    tokens = []
    for token in strongest.tolist():
        firing = float(np.abs(activations.values[_firings(activations, token)]).max(initial=0.0))
        tokens.append(_shown_token(detector_input, "", token, firing, float(by_token[token])))
    return [token for token in tokens if token is not None][:TOKENS]


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
        if shown := _shown_token(detector_input, concept.id, token, strongest, added):
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
        less_on=_words(detector_input, concept.id, firing, tokens) if fires_less else (),
    )


def _words(
    detector_input: DetectorInput, concept: str, firing: FeatureActivations, tokens: Sequence[int]
) -> list[str]:
    """Returns the words on which a concept fires, less those that its name does not describe."""
    strengths: dict[str, float] = {}
    for token in tokens:
        added = float(np.log1p(np.abs(firing.values[_firings(firing, token)])).sum())
        if added and (word := token_word(detector_input, token)):
            strengths[word] = max(added, strengths.get(word, 0.0))
    fitting = [word for word in strengths if describes(concept, word) is not False]
    return sorted(fitting, key=strengths.__getitem__, reverse=True)[:LESS_ON]


def _firings(activations: FeatureActivations, token: int) -> slice:
    """Returns where the firings on a token of one prompt stand."""
    return slice(*activations.indptr[[token, token + 1]])


def _shown_token(
    detector_input: DetectorInput, concept: str, token: int, activation: float, adds: float
) -> ConceptToken | None:
    """Returns a token with its place in the content; None for one of the chat template."""
    place = place_in_content(detector_input, token)
    if place is None:
        return None
    content = detector_input.content
    word, text = word_at(content, place), content[place.start : place.end]
    fits = describes(concept, word)
    return ConceptToken(place.start, place.end, text, activation, adds, word, fits)
