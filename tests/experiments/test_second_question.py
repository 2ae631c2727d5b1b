"""A second question: the notes on the first, elsewhere, judged in its own way."""

import numpy as np
import pytest

import saetask.experiments.scoring
from saetask import Annotation, Misunderstanding
from saetask.annotation.base import PLACEMENTS, annotate
from saetask.annotation.prompt_writer import ArmPrompt, fixed_note
from saetask.data.samples import Fold, make_samples
from saetask.detection.calibration import FEWEST_ITEMS, Calibration, fit_calibration
from saetask.experiments.context import as_ask, scored_item
from saetask.experiments.fold import Plan
from saetask.experiments.scoring import ARMS_ASKED, GENERATED_TOKENS, ask_second
from tests.helpers.touch_task import StubAsker, Touch, TouchTwice, make_apparatus

N = 24
FIRST = Calibration(9.0, {"warm": 5.0, "cold": -5.0})
"""Of notes on the first question."""
ARMS = ("original", "generic", "placebo", "shuffled", "saetask", "oracle")


class Trial:
    """Two folds of first questions, every other item annotated, in one placement after another."""

    def __init__(self, task):
        self.context = make_apparatus(None, None, None, task, asker=StubAsker())
        self.samples = make_samples(task, task.items()[:N])
        half = list(range(N // 2)), list(range(N // 2, N))
        self.plans = [self._plan(*half), self._plan(*half[::-1])]

    def _plan(self, fit, test):
        prompts = {arm: {i: self._write(arm, i) for i in (*fit, *test)} for arm in ARMS}
        none = Calibration(1.0, {})
        return Plan(Fold(fit, test), none, FIRST, fit, prompts, {}, {}, [])

    def _write(self, arm, i):
        prompt = self.samples[i].prompt
        if arm == "original" or (arm == "saetask" and i % 2):
            return ArmPrompt(prompt, None, [])
        note = Annotation(f"({arm})", PLACEMENTS[i % 4], "notes")
        target = prompt.spans["target"]
        found = Misunderstanding("probe", target, "hot", "warm", 0.9, [])
        return fixed_note(prompt, note)._replace(misunderstandings=[found])

    def ask(self, seed=0):
        return ask_second(self.context, self.samples, self.plans, seed)


@pytest.fixture(scope="module")
def trial():
    return Trial(TouchTwice(untouched=["tea"]))


@pytest.fixture(scope="module")
def outcomes(trial):
    return trial.ask()


def second_prompt(trial, outcome):
    return trial.context.task.second_question(outcome.sample.item).prompt


def test_a_task_that_asks_once_has_no_second_outcomes():
    trial = Trial(Touch())
    assert trial.ask() == []
    assert trial.context.asker.asked == []


def test_a_task_of_whose_items_none_is_asked_again_has_none_either():
    task = TouchTwice(untouched={item.group for item in Touch().items()})
    assert Trial(task).ask() == []


def test_every_item_with_a_second_question_is_asked_it_in_four_arms(trial, outcomes):
    ids = sorted(q.item.id for q in trial.samples if q.item.group != "tea")
    assert len(ids) == N - 4
    found = [(outcome.arm, outcome.sample.item.id) for outcome in outcomes]
    assert found == [(arm, item) for arm in ARMS_ASKED for item in ids]
    place = {sample.item.id: i for i, sample in enumerate(trial.samples)}
    assert all(place[o.sample.item.id] in trial.plans[o.fold].fold.test for o in outcomes)


def test_the_same_note_stands_in_the_second_prompt_about_the_same_span(trial, outcomes):
    place = {sample.item.id: i for i, sample in enumerate(trial.samples)}
    for outcome in outcomes:
        i = place[outcome.sample.item.id]
        first = trial.plans[outcome.fold].prompts[outcome.arm][i]
        prompt = second_prompt(trial, outcome)
        assert outcome.written.annotation == first.annotation
        assert outcome.written.misunderstandings == first.misunderstandings
        if first.annotation is None:
            assert outcome.written.prompt == prompt
        else:
            expected = annotate(prompt, first.annotation, prompt.spans["target"])
            assert outcome.written.prompt == expected
            if first.annotation.placement == "inline":
                word = outcome.sample.item.question["word"]
                assert f"{word} {first.annotation.text}" in expected.content


def test_answers_are_judged_by_the_second_question_and_calibrated_on_it(trial, outcomes):
    task, asker = trial.context.task, trial.context.asker
    for outcome in outcomes:
        assert set(outcome.scores) == {" not", " yes"}
        assert outcome.score == task.score_second(outcome.sample.item, outcome.output)
        assert outcome.sample.correct.tolist() == [
            task.score_second(outcome.sample.item, text).correct for text in (" not", " yes")
        ]
    first = outcomes[0]
    asked = {o.sample.item.id: o.sample for o in outcomes}
    fit = [trial.samples[i].item.id for i in trial.plans[first.fold].fold.fit]
    rows = [asked[i] for i in fit if i in asked]
    fitted = fit_calibration([scored_item(asker, q, q.prompt) for q in rows])
    expected = fitted.apply(
        asker.scores(as_ask(first.sample, first.written.prompt)), first.sample.readings
    )
    assert list(first.scores.values()) == pytest.approx(expected)


def test_too_few_notes_are_calibrated_as_the_second_question_without_one(trial, outcomes):
    task, asker = trial.context.task, trial.context.asker
    first = next(o for o in outcomes if o.arm == "saetask" and o.written.annotation)
    asked = {o.sample.item.id: o.sample for o in outcomes}
    fit = [trial.samples[i].item for i in trial.plans[first.fold].fold.fit]
    rows = [asked[item.id] for item in fit if task.second_question(item)]
    assert len(rows) // 2 < FEWEST_ITEMS  # every other one is annotated
    fitted = fit_calibration([scored_item(asker, q, q.prompt) for q in rows])
    scores = asker.scores(as_ask(first.sample, first.written.prompt))
    expected = fitted.apply(scores, first.sample.readings)
    assert list(first.scores.values()) == pytest.approx(expected)


def test_arms_that_were_not_run_are_not_asked():
    trial = Trial(TouchTwice())
    for plan in trial.plans:
        del plan.prompts["placebo"], plan.prompts["oracle"]
    assert {outcome.arm for outcome in trial.ask()} == {"original", "saetask"}


def test_where_answers_are_generated_a_sample_of_items_is_asked(monkeypatch):
    monkeypatch.setattr(saetask.experiments.scoring, "GENERATED_ITEMS", 7)
    trial = Trial(TouchTwice(generated=True))
    outcomes = trial.ask(seed=3)
    items = {outcome.sample.item.id for outcome in outcomes}
    assert len(items) == 7
    assert len(outcomes) == 7 * len(ARMS_ASKED)
    asked = trial.context.asker.asked
    assert {(ask.candidates, ask.max_new_tokens) for ask in asked} == {((), GENERATED_TOKENS)}
    for outcome in outcomes:
        assert outcome.output.startswith("I say ")
        assert outcome.scores == {}
    for other, same in ((3, True), (4, False)):
        again = Trial(TouchTwice(generated=True)).ask(other)
        assert ({outcome.sample.item.id for outcome in again} == items) == same


def test_the_first_questions_stay_as_they_are(trial, outcomes):
    assert outcomes
    again = Trial(TouchTwice(untouched=["tea"]))
    assert [plan.prompts for plan in trial.plans] == [plan.prompts for plan in again.plans]
    for sample, same in zip(trial.samples, again.samples, strict=True):
        assert sample.prompt == same.prompt
        assert np.array_equal(sample.correct, same.correct)
