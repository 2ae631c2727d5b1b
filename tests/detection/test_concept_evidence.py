"""Log-odds taken apart by concept: nothing is lost, whatever the weights are."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from saetask.data import Span
from saetask.detection import DetectorInput, make_misunderstanding
from saetask.detection.concept_evidence import (
    LISTED,
    ConceptTerms,
    explain_by_concepts,
    rival_of,
)
from saetask.detection.feature_owners import strongest_concepts
from saetask_plugins.detectors.concept_probe import ConceptProbe
from saetask_plugins.detectors.concept_selection import ConceptWeights
from saetask_plugins.detectors.failure_probe import FailureProbe
from tests.helpers.planted_concepts import make_concept, sum_of_parts
from tests.helpers.planted_readings import CONTENT, D_SAE, REGIONS, SPANS, activations

seeds = st.integers(0, 2**32 - 1)


CLASSES = ("noun.food", "noun.animal")
"""The first concepts are named for classes of words, of which no word of the prompt is."""


def random_case(generator):
    """Returns a prompt with random firings, random overlapping concepts, and readings."""
    concepts = tuple(
        make_concept(
            CLASSES[i] if i < len(CLASSES) else f"c{i}",
            generator.choice(D_SAE, generator.integers(0, 9), replace=False).tolist(),
        )
        for i in range(generator.integers(1, 25))
    )
    tokens = {
        token: {int(f): float(generator.gamma(2.0)) for f in generator.integers(0, D_SAE, 30)}
        for token in range(8)
    }
    reading = DetectorInput(
        activations(tokens, REGIONS), CONTENT, SPANS, {"a": -0.5, "b": -1.0}, concepts=concepts
    )
    return reading, concepts, list("abcd"[: generator.integers(2, 5)])


def random_concept_probe(generator, concepts, readings):
    probe = ConceptProbe()
    probe.readings, probe.concepts = readings, concepts
    probe.regions = ("text", "target")
    weights = generator.normal(size=(len(readings), 2, len(concepts)))
    probe.means = generator.random((2, len(concepts)))
    probe.probe = ConceptWeights(weights, generator.normal(size=len(readings)))
    probe.stack = np.abs(generator.normal(size=2 + len(readings)))
    return probe


def random_failure_probe(generator, concepts, readings):
    probe = FailureProbe()
    probe.readings, probe.regions, probe.d_sae = readings, ("text", "target"), D_SAE
    probe.columns = np.sort(generator.choice(2 * D_SAE, 120, replace=False))
    probe.weights = generator.normal(size=(len(readings), 120))
    probe.bias = generator.normal(size=len(readings))
    probe.means = generator.random(120)
    probe.stack = np.abs(generator.normal(size=2 + len(readings)))
    probe.stability = np.zeros_like(probe.weights)
    return probe


class RandomParts(NamedTuple):
    """A prompt's log-odds taken apart, by a random probe."""

    probe: FailureProbe
    reading: DetectorInput
    parts: ConceptTerms
    values: np.ndarray
    """Log-activations of the probe's columns, `[column]`."""
    owners: np.ndarray
    """The concept of each column; -1 for none."""


def random_parts(seed):
    generator = np.random.default_rng(seed)
    reading, concepts, readings = random_case(generator)
    probe = random_failure_probe(generator, concepts, readings)
    row = csr_matrix(probe._pooled([reading], probe.regions)[:, probe.columns])
    parts = probe._by_concept(reading, row, concepts)
    owners = strongest_concepts(concepts, D_SAE)[probe.columns % D_SAE]
    return RandomParts(probe, reading, parts, row.toarray()[0], owners)


@pytest.mark.parametrize("make", [random_concept_probe, random_failure_probe])
@given(seeds)
def test_contributions_and_rest_add_up_to_the_log_odds(make, seed):
    generator = np.random.default_rng(seed)
    reading, concepts, readings = random_case(generator)
    probe = make(generator, concepts, readings)
    scores = probe.stack[0] * probe._log_odds([reading])[0]
    for number, name in enumerate(readings):
        m = probe.explain(reading, name)
        assert m.against == readings[rival_of(reading, readings, number, scores)]
        rival = scores[readings.index(m.against)]
        assert m.log_odds == pytest.approx(scores[number] - rival, abs=1e-9)
        assert all(c.reading in (name, m.against) for c in m.concepts)
        assert sum_of_parts(m) == pytest.approx(m.log_odds, abs=1e-9)
        signs = [c.contribution > 0 for c in m.concepts]
        assert sum(signs) <= LISTED >= len(signs) - sum(signs)
        assert all((c.reading == name) == (c.contribution > 0) for c in m.concepts)


@given(seeds)
def test_the_strongest_are_listed_and_the_others_go_into_the_rest(seed):
    generator = np.random.default_rng(seed)
    reading, concepts, readings = random_case(generator)
    terms = generator.normal(size=(len(readings), len(concepts)))
    rest = generator.normal(size=len(readings))
    by_token = np.zeros((*terms.shape, 8))
    parts = ConceptTerms(terms.sum(1) + rest, terms, rest, by_token)
    bare = make_misunderstanding("probe", reading, "b")
    m = explain_by_concepts(bare, reading, readings, concepts, parts, ("text",))
    added = terms[1] - terms[0]  # the answer's reading is the first one
    expected = sorted(added[added > 0])[::-1][:LISTED] + sorted(added[added < 0])[:LISTED]
    assert [c.contribution for c in m.concepts] == pytest.approx(expected)
    assert sum_of_parts(m) == pytest.approx(m.log_odds, abs=1e-9)


@pytest.mark.parametrize("make", [random_concept_probe, random_failure_probe])
@given(seeds)
def test_concepts_of_form_are_part_of_the_rest(make, seed):
    generator = np.random.default_rng(seed)
    reading, concepts, readings = random_case(generator)
    concepts = tuple(
        c._replace(subject=generator.choice(["form", "meaning", "contrast"])) for c in concepts
    )
    of_form = {c.id for c in concepts if c.subject == "form"}
    m = make(generator, concepts, readings).explain(
        replace(reading, concepts=concepts), readings[0]
    )
    assert not of_form & {c.id for c in m.concepts}
    assert sum_of_parts(m) == pytest.approx(m.log_odds, abs=1e-9)


@given(seeds)
def test_what_tokens_add_is_what_the_concept_adds(seed):
    """Beside what the average prompt gets, all is owed to tokens; here all are of the content."""
    case = random_parts(seed)
    probe, parts, values = case.probe, case.parts, case.values
    terms = probe.stack[0] * probe.weights * values
    usual = probe.stack[0] * probe.weights * probe.means
    for number in range(len(case.reading.concepts)):
        own = case.owners == number
        assert parts.by_token.sum(2)[:, number] == pytest.approx(terms[:, own].sum(1), abs=1e-9)
        beyond = (terms - usual)[:, own].sum(1)
        assert parts.terms[:, number] == pytest.approx(beyond, abs=1e-9)
    for concept in probe.explain(case.reading, probe.readings[0]).concepts:
        assert all(token.adds * concept.contribution > 0 for token in concept.tokens)
        sizes = [abs(token.adds) for token in concept.tokens]
        assert sizes == sorted(sizes, reverse=True)


@given(seeds)
def test_a_reading_is_held_against_the_answers_or_the_likeliest_other_one(seed):
    generator = np.random.default_rng(seed)
    reading, _, readings = random_case(generator)
    scores = generator.normal(size=len(readings))
    assert reading.answer == "a"
    assert all(rival_of(reading, readings, k, scores) == 0 for k in range(1, len(readings)))
    for case, k in ((reading, 0), (replace(reading, written_reading=""), 1)):
        rival = rival_of(case, readings, k, scores)
        assert rival != k and scores[rival] == np.delete(scores, k).max()


@given(seeds)
def test_what_unnamed_features_add_on_tokens_is_their_part_beyond_the_average(seed):
    case = random_parts(seed)
    probe, parts, values = case.probe, case.parts, case.values
    own = (case.owners < 0) & (values != 0)
    beyond = probe.stack[0] * (probe.weights * (values - probe.means))[:, own]
    assert parts.rest_by_token.sum(1) == pytest.approx(beyond.sum(1), abs=1e-9)
    m = probe.explain(case.reading, probe.readings[0])
    sizes = [token.adds for token in m.unnamed_tokens]
    assert sizes == sorted(sizes, key=abs, reverse=True)
    assert all(size * (m.rest - m.unlisted) > 0 for size in sizes)


@given(seeds)
def test_places_are_counted_in_a_part_of_the_content(seed):
    reading, concepts, readings = random_case(np.random.default_rng(seed))
    probe = random_concept_probe(np.random.default_rng(seed), concepts, readings)
    m, part = probe.explain(reading, "a"), Span(4, 11)
    m = m._replace(unnamed_tokens=m.concepts[0].tokens if m.concepts else ())
    inner = m.within(part)
    if m.concepts:
        assert inner.unnamed_tokens == inner.concepts[0].tokens
    assert inner.span == m.span.shifted(-4)
    for whole, concept in zip(m.concepts, inner.concepts, strict=True):
        overlapping = [token for token in whole.tokens if token.start < 11 and token.end > 4]
        assert len(concept.tokens) == len(overlapping)
        for token in concept.tokens:
            assert 0 <= token.start < token.end <= 7
            assert token.text == CONTENT[4:11][token.start : token.end]
