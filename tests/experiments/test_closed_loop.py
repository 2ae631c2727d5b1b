"""The closed loop: which notes are kept, with a detector that is told what to find."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from saetask.annotation import Annotation
from saetask.annotation.prompt_writer import NoteTemplate
from saetask.data.folds import Fold
from saetask.detection import Misunderstanding
from saetask.detection.base import Finding
from saetask.detection.calibration import Calibration
from saetask.experiments.closed_loop import (
    ROUNDS,
    RoundTemplate,
    annotate_in_rounds,
    round_templates,
)
from saetask.experiments.note_selection import NoteScores
from saetask.experiments.observation import reading_scores, scored_item
from saetask.inference.client import RankResponse
from saetask.inference.requests import RankRequest
from tests.helpers.touch_task import Touch, make_lab

FAILURE = 0.8


class Notes:
    """Five notes that are numbered."""

    name = "notes"

    def candidates(self, misunderstanding, labels):
        return [Annotation(f"(note {number})", "end", self.name) for number in range(5)]


class Scripted:
    """A detector that finds in a prompt what its note's number stands for in a script."""

    def __init__(self, *script):
        self.script = script
        self.shown = []

    def detect(self, reading):
        self.shown.append(reading)
        return self.script[int(reading.content[-2])]


def misread(reading="warm", probability=FAILURE):
    return Misunderstanding(
        "probe", Touch().prompt(Touch().items()[0]).spans["target"], "hot", reading, probability, []
    )


def after(failure, *readings):
    return Finding(failure, [misread(reading, failure) for reading in readings])


BEFORE = after(FAILURE, "warm")


@pytest.fixture(scope="module")
def lab(tiny_model, tiny_sae):
    return make_lab(tiny_model, tiny_sae, None, Touch(mute=["tea"]), n_items=8)


@pytest.fixture(scope="module")
def first(lab):
    """The first sample."""
    return lab.samples[0]


@pytest.fixture
def close(lab, first):
    """Returns a function that closes the loop with a script, and what was written and shown."""

    def run(*script, findings=None, n_templates=ROUNDS):
        detector = Scripted(*script)
        templates = [
            RoundTemplate(NoteTemplate(Notes(), n), Calibration(2.0, {"warm": 0.5 * n}))
            for n in range(n_templates)
        ]
        findings = findings or {first: BEFORE}
        return annotate_in_rounds(lab.context, detector, templates, findings), detector.shown

    return run


@pytest.mark.parametrize(
    "found",
    [after(0.3), after(0.3, "warm"), after(FAILURE - 1e-9)],
    ids=["nothing left", "the same misunderstanding, less probable", "a little"],
)
def test_a_note_is_kept_if_the_failure_falls_and_nothing_else_is_misread(close, first, found):
    written = close(found)[0][first]
    assert written.prompt.content == f"{first.prompt.content}\n(note 0)"
    assert written.annotation.text == "(note 0)"
    (done,) = written.rounds
    assert (done.failure_before, done.failure_after, done.kept) == (FAILURE, found.failure, True)


WORSE = [after(FAILURE), after(0.9), after(0.3, "cold"), after(0.3, "warm", "cold")]
KINDS = ["as probable", "more probable", "another misunderstanding", "one more misunderstanding"]


@pytest.mark.parametrize("found", WORSE, ids=KINDS)
def test_after_the_last_round_the_prompt_stays_as_it_was(close, first, found):
    prompts, shown = close(*[found] * 5)
    written = prompts[first]
    assert written.prompt is first.prompt
    assert written.annotation is None
    assert [done.annotation.text for done in written.rounds] == [
        f"(note {number})" for number in range(ROUNDS)
    ]
    assert not any(done.kept for done in written.rounds)
    assert len(shown) == ROUNDS
    assert written.misunderstandings == BEFORE.misunderstandings


@pytest.mark.parametrize("found", WORSE, ids=KINDS)
def test_the_next_template_is_tried_until_one_helps_and_none_after_it(close, first, found):
    written, shown = close(found, after(0.2), after(0.1))
    assert written[first].annotation.text == "(note 1)"
    assert [done.kept for done in written[first].rounds] == [False, True]
    assert len(shown) == 2


def test_a_prompt_without_a_finding_is_neither_annotated_nor_read_again(close, lab, first):
    second = lab.samples[1]
    written, shown = close(after(0.1), findings={first: after(0.2), second: BEFORE})
    assert written[first].prompt is first.prompt
    assert (written[first].annotation, written[first].rounds) == (None, ())
    assert [seen.content for seen in shown] == [written[second].prompt.content]


def test_a_sample_without_candidates_is_left_alone(close, lab):
    (mute, *_) = [sample for sample in lab.samples if not sample.candidates]
    written, shown = close(after(0.1), findings={mute: BEFORE})
    assert written[mute].prompt is mute.prompt
    assert (written[mute].annotation, written[mute].rounds, shown) == (None, (), [])


def test_a_note_that_the_annotator_does_not_have_is_no_round(close, first):
    written, shown = close(*[after(0.9)] * 5, n_templates=7)
    assert len(written[first].rounds) == len(shown) == 5


def test_the_annotated_prompt_is_judged_as_it_is_read_and_answered_in_its_template(
    close, lab, first
):
    _, shown = close(after(0.9), after(0.1))
    client = lab.context.client
    for number, seen in enumerate(shown):
        sent = [r for r in client.requests if r.prompt.content == seen.content][-1]
        assert sent == RankRequest(sent.prompt, first.texts, first.id)
        scored = scored_item(first, client.response(sent))
        calibration = Calibration(2.0, {"warm": 0.5 * number})
        assert seen.answer_scores == reading_scores(scored, calibration, ("warm", "cold"))
        assert seen.activations.prompts[0].text.count(f"(note {number})") == 1
        assert seen.spans == sent.prompt.spans == first.prompt.spans
        assert set(seen.raw) == {"text", "end", "target", "answer"}


class State(NamedTuple):
    """What is looked at of a fold's state."""

    pipeline: SimpleNamespace
    note_scores: NoteScores
    fold: Fold


def test_the_best_templates_of_the_fit_split_are_tried_one_a_round(lab):
    losses = [0.5, 0.2, 0.9, 0.1]
    wordings = [
        {"annotator": "notes", "wording": n, "fit_loss": x, "n": 8} for n, x in enumerate(losses)
    ]
    pipeline = SimpleNamespace(selection={"wordings": wordings})
    train, others = lab.samples[:2], lab.samples[2:4]
    scored = {
        (template, sample): scored_item(
            sample, RankResponse(np.array([template + sample.position, 1.0]))
        )
        for template in range(4)
        for sample in (*train, *others)
    }
    notes = Notes()
    scores = NoteScores([NoteTemplate(notes, number) for number in range(4)], train, scored)
    fold = Fold(train, others)
    chosen = round_templates(State(pipeline, scores, fold))
    assert [each.template.number for each in chosen] == [3, 1, 0]
    without = {key: row for key, row in scored.items() if key[1] in train}
    again = round_templates(State(pipeline, scores._replace(scored=without), fold))
    assert [each.bias for each in again] == [each.bias for each in chosen]
