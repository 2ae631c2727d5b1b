"""Annotators that state a reading: a note a wording, of the finding and of nothing else."""

import pytest

from saetask.annotation import annotate
from saetask.data import Prompt, Span
from saetask.detection import Misunderstanding
from saetask.plugins import PluginRegistry

TASKS = ("metaphor", "word-problems", "figurative-qa", "word-sense", "multiple-choice", "gsm8k")


def finding(reading):
    return Misunderstanding("test", Span(4, 8), "word", reading, 0.9, [])


def annotators_of(task):
    registry = PluginRegistry()
    names = [name for name in registry.get("task", task).annotators if name != "feature-label"]
    return [registry.get("annotator", name) for name in names]


@pytest.mark.parametrize("task", TASKS)
def test_every_reading_of_a_task_gets_as_many_wordings_at_the_same_places(task):
    readings = PluginRegistry().get("task", task).readings
    for annotator in annotators_of(task):
        notes = {reading: annotator.candidates(finding(reading), {}) for reading in readings}
        placements = {tuple(note.placement for note in found) for found in notes.values()}
        assert len(placements) == 1
        assert len(placements.pop()) >= 2
        for number in range(len(notes[readings[0]])):
            texts = {found[number].text for found in notes.values()}
            assert len(texts) == len(readings), "two readings share a note"


@pytest.mark.parametrize("task", ["word-problems", "figurative-qa", "word-sense"])
def test_a_reading_that_an_annotator_does_not_know_gets_no_note(task):
    for annotator in annotators_of(task):
        assert annotator.candidates(finding("sarcastic"), {}) == []


def test_an_inline_note_stands_right_after_the_word():
    (annotator,) = annotators_of("word-sense")
    (note,) = [n for n in annotator.candidates(finding("same"), {}) if n.placement == "inline"]
    prompt = Prompt([{"role": "user", "content": "The word stands here."}])
    written = annotate(prompt, note, Span(4, 8)).content
    assert written == "The word (in the same sense as in the first sentence) stands here."
