"""Notes that name concepts: which they name, and that they never name a reading."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.annotation.base import PLACEMENTS
from saetask.annotation.evidence_notes import EvidenceNotes
from saetask.annotation.prompt_writer import NoteTemplate, PromptAnnotator
from saetask.data import Prompt, Span
from saetask.plugins import PluginRegistry
from saetask_plugins import saetask_tasks
from tests.helpers.planted_evidence import SENTENCE, concept, planted_finding

READINGS = sorted({reading for task in saetask_tasks() for reading in task.readings})
WORDS = ["food", "speech", "feelings", "A", "near", "the", "metaphors", "adding", *READINGS]


def notes(found):
    return EvidenceNotes().candidates(found, {})


def texts(found):
    return list(dict.fromkeys(note.text for note in notes(found)))


def test_concepts_for_and_against_are_named_strongest_first():
    assert texts(planted_finding()) == [
        '(Note: here "swallowed" goes with food and parts of the body, not with feelings and '
        "speech.)",
        'Note: "swallowed" fits food and parts of the body, not feelings and speech.',
    ]


def test_with_one_side_only_that_is_named():
    food, feelings, *_ = planted_finding().concepts
    assert texts(planted_finding(concepts=[food])) == [
        '(Note: here "swallowed" goes with food.)',
        'Note: "swallowed" fits food.',
    ]
    assert texts(planted_finding(concepts=[feelings]))[0] == (
        '(Note: here "swallowed" does not go with feelings.)'
    )
    assert notes(planted_finding(concepts=[])) == []


def test_each_wording_is_offered_at_each_place():
    found = notes(planted_finding())
    assert [note.placement for note in found] == [*PLACEMENTS] * 2
    assert {note.annotator for note in found} == {"evidence"}


def test_the_kind_of_a_concept_is_no_part_of_its_name_and_a_name_is_given_once():
    near = concept("near food (soup)", 1.0)._replace(id="near:noun.food")
    before = concept("before food", -0.5)._replace(id="promotes:noun.food")
    assert texts(planted_finding(concepts=[near, before]))[0] == (
        '(Note: here "swallowed" goes with food.)'
    )


def test_a_long_text_is_not_quoted():
    assert "here this text goes with" in texts(planted_finding(text="Ann has 7 figs. " * 9))[0]


@given(
    st.sampled_from(READINGS),
    st.sampled_from(READINGS),
    st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join), max_size=6),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join),
)
def test_no_note_has_a_word_of_a_reading(reading, other, names, text):
    concepts = [
        concept(name, (-1.0) ** number, reading=(reading, other)[number % 2])
        for number, name in enumerate(names)
    ]
    # Readings that no concept speaks for are unknown to the note.
    known = {reading, *(each.reading for each in concepts)}
    barred = {word for name in known for word in re.findall(r"\w+", name.lower())}
    for note in notes(planted_finding(reading=reading, text=text, concepts=concepts)):
        assert not barred & set(re.findall(r"\w+", note.text.lower()))


@pytest.mark.parametrize(
    ("reading", "name"),
    [
        ("metaphorical", "metaphors"),
        ("metaphorical", "Metaphorically used"),
        ("addition", "adding"),
        ("addition", "additional money"),
        ("subtraction", "to subtract"),
    ],
)
def test_other_forms_of_a_readings_word_are_not_named_either(reading, name):
    assert notes(planted_finding(concepts=[concept(name, 1.0)], reading=reading)) == []
    assert notes(planted_finding(concepts=[concept(name, 1.0)], reading="denied"))


def write(unvalidated, found):
    spans = {"text": Span(0, len(SENTENCE))}
    prompt = Prompt([{"role": "user", "content": SENTENCE}], "", spans)
    template = NoteTemplate(EvidenceNotes(), 0)
    return PromptAnnotator(template, {}, {}, unvalidated).write(prompt, [found])


def test_names_that_were_not_validated_are_named_only_where_that_is_allowed():
    written = write(False, planted_finding())
    assert written.annotation.text == (
        '(Note: here "swallowed" goes with food, not with feelings and speech.)'
    )
    # Who reads the finding sees them all.
    assert len(written.misunderstandings[0].concepts) == 4
    assert "parts of the body" in write(True, planted_finding()).annotation.text
    guess = planted_finding(concepts=[concept("food", 1.0, verdict="not validated")])
    assert write(False, guess).annotation is None


def test_the_annotator_is_a_plugin():
    assert PluginRegistry().get("annotator", "evidence").candidates(planted_finding(), {})


def test_a_contrast_is_not_named_for_it_may_be_the_reading_in_other_words():
    figurative = concept("verbs used figuratively", 2.0)._replace(
        id="contrast:in:verbs used figuratively"
    )
    food, *_ = planted_finding().concepts
    assert texts(planted_finding(concepts=[figurative, food])) == texts(
        planted_finding(concepts=[food])
    )
    assert notes(planted_finding(concepts=[figurative])) == []
