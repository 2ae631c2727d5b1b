"""Notes that depend on no finding: they say nothing of the text, and are as long as is wanted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.annotation import Annotation
from saetask.annotation.base import PLACEMENTS
from saetask.annotation.fixed_notes import (
    GENERIC,
    NEUTRAL_PHRASES,
    PLACEBO,
    PLACES,
    neutral_note,
)
from saetask.data import Span
from saetask.detection import Misunderstanding


@given(st.integers(1, 400), st.sampled_from(PLACEMENTS))
def test_a_neutral_note_is_at_the_same_place_and_no_phrase_more_or_less_comes_nearer(n, place):
    note = neutral_note(Annotation("x" * n, place, "notes"))
    assert (note.placement, note.annotator) == (place, "gated-placebo")
    whole = ["(Note: " + "".join(NEUTRAL_PHRASES[:k]) + ".)" for k in range(1, 14)]
    assert len(NEUTRAL_PHRASES) == 13 and note.text in whole
    assert abs(len(note.text) - n) == min(abs(len(text) - n) for text in whole)


def test_notes_of_a_usual_length_have_a_neutral_one_within_a_few_words():
    for n in range(30, 220):
        assert abs(len(neutral_note(Annotation("x" * n, "end", "notes")).text) - n) <= 16


@pytest.mark.parametrize("fixed", [GENERIC, PLACEBO], ids=lambda fixed: fixed.name)
def test_every_text_is_offered_at_every_place_whatever_was_found(fixed):
    found = Misunderstanding("probe", Span(0, 4), "Does", "literal", 0.9, [])
    notes = fixed.candidates(found, {1: "a label"})
    assert notes == fixed.notes
    assert [(note.text, note.placement) for note in notes] == [
        (text, place) for text in fixed.texts for place in PLACES
    ]
    assert set(PLACES) == set(PLACEMENTS) - {"inline"}  # it is about no span
    assert {note.annotator for note in notes} == {fixed.name}


def test_controls_have_as_many_texts_of_about_the_same_length():
    assert len(GENERIC.texts) == len(PLACEBO.texts)
    for text in (*GENERIC.texts, *PLACEBO.texts):
        assert 45 <= len(text) <= 70
