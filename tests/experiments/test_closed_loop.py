"""The closed loop: which notes are kept, with a detector that is told what to find."""

import numpy as np
import pytest

from saetask import Annotation, Misunderstanding
from saetask.annotation.prompt_writer import Writer
from saetask.detection.base import Finding
from saetask.detection.calibration import Calibration
from saetask.experiments.closed_loop import ROUNDS, Loop, Style, close_loop, make_loop
from saetask.experiments.context import reading_scores, scored_item
from saetask.experiments.note_selection import Trials
from saetask.experiments.pipeline import Fitted
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


@pytest.fixture
def close(lab):
    """Returns a function that closes the loop with a script, and what was written and shown."""

    def run(*script, findings=None, n_styles=ROUNDS):
        detector = Scripted(*script)
        styles = [
            Style(Writer(Notes(), n, {}), Calibration(2.0, {"warm": 0.5 * n}))
            for n in range(n_styles)
        ]
        fitted = Fitted(*[Calibration(1.0, {})] * 2, detector, {}, [], Notes(), 0, {})
        loop = Loop(lab.context, fitted, styles)
        findings = findings or {0: BEFORE}
        return close_loop(loop, lab.study.samples, findings), detector.shown

    return run


@pytest.mark.parametrize(
    "found",
    [after(0.3), after(0.3, "warm"), after(FAILURE - 1e-9)],
    ids=["nothing left", "the same misunderstanding, less probable", "a little"],
)
def test_a_note_is_kept_if_the_failure_falls_and_nothing_else_is_misread(close, lab, found):
    written, _ = close(found)
    prompt = lab.study.samples[0].prompt
    assert written[0].prompt.content == f"{prompt.content}\n(note 0)"
    assert written[0].annotation.text == "(note 0)"
    (done,) = written[0].rounds
    assert (done.failure_before, done.failure_after, done.kept) == (FAILURE, found.failure, True)


WORSE = [after(FAILURE), after(0.9), after(0.3, "cold"), after(0.3, "warm", "cold")]
KINDS = ["as probable", "more probable", "another misunderstanding", "one more misunderstanding"]


@pytest.mark.parametrize("found", WORSE, ids=KINDS)
def test_after_the_last_round_the_prompt_stays_as_it_was(close, lab, found):
    written, shown = close(*[found] * 5)
    assert written[0].prompt is lab.study.samples[0].prompt
    assert written[0].annotation is None
    assert [done.annotation.text for done in written[0].rounds] == [
        f"(note {number})" for number in range(ROUNDS)
    ]
    assert not any(done.kept for done in written[0].rounds)
    assert len(shown) == ROUNDS
    assert written[0].misunderstandings == BEFORE.misunderstandings


@pytest.mark.parametrize("found", WORSE, ids=KINDS)
def test_the_next_wording_is_tried_until_one_helps_and_none_after_it(close, found):
    written, shown = close(found, after(0.2), after(0.1))
    assert written[0].annotation.text == "(note 1)"
    assert [done.kept for done in written[0].rounds] == [False, True]
    assert len(shown) == 2


def test_a_prompt_without_a_finding_is_neither_annotated_nor_read_again(close, lab):
    written, shown = close(after(0.1), findings={0: after(0.2), 1: BEFORE})
    assert written[0].prompt is lab.study.samples[0].prompt
    assert (written[0].annotation, written[0].rounds) == (None, ())
    assert [reading.content for reading in shown] == [written[1].prompt.content]


def test_an_item_without_candidates_is_left_alone(close, lab):
    (mute, *_) = [i for i, q in enumerate(lab.study.samples) if not q.candidates]
    written, shown = close(after(0.1), findings={mute: BEFORE})
    assert written[mute].prompt is lab.study.samples[mute].prompt
    assert (written[mute].annotation, written[mute].rounds, shown) == (None, (), [])


def test_a_note_that_the_annotator_does_not_have_is_no_round(close):
    written, shown = close(*[after(0.9)] * 5, n_styles=7)
    assert len(written[0].rounds) == len(shown) == 5


def test_the_annotated_prompt_is_judged_as_it_is_read_and_asked_in_its_style(close, lab):
    _, shown = close(after(0.9), after(0.1))
    sample = lab.study.samples[0]
    for number, reading in enumerate(shown):
        (asked,) = [
            ask for ask in lab.context.asker.asked if ask.prompt.content == reading.content
        ][-1:]
        scored = scored_item(lab.context.asker, sample, asked.prompt)
        calibration = Calibration(2.0, {"warm": 0.5 * number})
        assert reading.answer_scores == reading_scores(scored, calibration, ("warm", "cold"))
        assert reading.activations.prompts[0].text.count(f"(note {number})") == 1
        assert reading.spans == asked.prompt.spans == sample.prompt.spans
        assert set(reading.raw) == {"text", "end", "target", "answer"}


def test_the_best_styles_of_the_fit_split_are_tried_one_a_round(lab):
    losses = [0.5, 0.2, 0.9, 0.1]
    wordings = [{"annotator": "notes", "wording": n, "fit_loss": x} for n, x in enumerate(losses)]
    fitted = Fitted(*[Calibration(1.0, {})] * 2, None, {}, [], Notes(), 0, {"wordings": wordings})
    samples, asker = lab.study.samples, lab.context.asker
    fit_items = [0, 1]
    scored = {
        (style, i): scored_item(asker, samples[i], samples[i].prompt)._replace(
            scores=np.array([style + i, 1.0])
        )
        for style in range(4)
        for i in (*fit_items, 2, 3)
    }
    trials = Trials([(Notes(), number) for number in range(4)], scored)
    loop = make_loop(lab.context, fitted, trials, fit_items, {7: "sea"})
    assert [style.writer.number for style in loop.styles] == [3, 1, 0]
    assert all(style.writer.labels == {7: "sea"} for style in loop.styles)
    without = {key: row for key, row in scored.items() if key[1] in fit_items}
    again = make_loop(lab.context, fitted, trials._replace(scored=without), fit_items, {})
    assert [s.calibration for s in again.styles] == [s.calibration for s in loop.styles]
