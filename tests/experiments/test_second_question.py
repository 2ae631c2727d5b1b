"""A second question: the notes on the first, elsewhere, judged in its own way."""

from dataclasses import replace

import numpy as np
import pytest

from saetask.annotation import Annotation
from saetask.annotation.base import PLACEMENTS, annotate
from saetask.annotation.prompt_writer import ArmPrompt, fixed_note
from saetask.data.samples import make_samples
from saetask.detection import Misunderstanding
from saetask.detection.calibration import Calibration, fit_calibration, tested_calibration
from saetask.experiments.arms import arms_named
from saetask.experiments.observation import rank_request, scored_item
from saetask.experiments.scoring import FoldPrompts, PreparedArm
from saetask.experiments.second_question import score_second_question
from saetask.inference.requests import GenerateRequest
from tests.helpers.touch_task import SETTINGS, StubClient, Touch, TouchTwice, make_context

N = 24
FIRST = Calibration(9.0, {"warm": 5.0, "cold": -5.0})
"""Of the first question, whose answers are of no use to the second."""
ARMS = ("original", "gated-placebo", "generic", "shuffled", "saetask", "oracle")
ASKED = ["original", "gated-placebo", "saetask", "oracle"]


class Trial:
    """Two folds of first questions, with notes in one placement after another."""

    def __init__(self, task, settings=SETTINGS):
        client = StubClient()
        self.context = make_context(None, None, None, task, client=client, settings=settings)
        self.samples = make_samples(task, task.items()[:N])
        first, second = self.samples[: N // 2], self.samples[N // 2 :]
        self.train = [first, second]
        self.folds = [self._fold(0, first, second), self._fold(1, second, first)]

    def _fold(self, number, train, test):
        arms = {
            arm: PreparedArm(
                {s: self._write(arm, s) for s in test},
                {s: self._write(arm, s) for s in train},
                fit_calibration,
            )
            for arm in ARMS
        }
        return FoldPrompts(number, test, FIRST, arms)

    def _write(self, arm, sample):
        prompt = sample.prompt
        if arm == "original" or (arm == "saetask" and sample.position % 2):
            return ArmPrompt(prompt, None, [])
        note = Annotation(f"({arm})", PLACEMENTS[sample.position % 4], "notes")
        target = prompt.spans["target"]
        found = Misunderstanding("probe", target, "hot", "warm", 0.9, [])
        return fixed_note(prompt, note)._replace(misunderstandings=[found])

    def ask(self, seed=0, arms=ARMS):
        specs = [arm.spec for arm in arms_named(arms)]
        folds = list(zip(self.folds, self.train, strict=True))
        return score_second_question(self.context, folds, specs, seed)

    def scored(self, sample, prompt=None):
        """Returns the stub's scores of a sample's candidates."""
        return scored_item(sample, self.context.client.response(rank_request(sample, prompt)))

    def bias(self, number, results):
        """Returns the calibration of the second question's own prompts on a fold's train part."""
        asked = {sample_result.sample.id: sample_result.sample for sample_result in results}
        rows = [asked[sample.id] for sample in self.train[number] if sample.id in asked]
        return tested_calibration([self.scored(sample) for sample in rows])

    def own_bias(self, number, arm, results):
        """Returns the calibration of the second question's prompts with an arm's notes."""
        asked = {o.sample.id: o.sample for o in results}
        rows = []
        for sample, first in self.folds[number].arms[arm].calibration.items():
            if sample.id in asked and first.annotation:
                second = asked[sample.id]
                prompt = annotate(second.prompt, first.annotation, second.prompt.spans["target"])
                rows.append(self.scored(second, prompt))
        return fit_calibration(rows)


@pytest.fixture(scope="module")
def trial():
    return Trial(TouchTwice(untouched=["tea"]))


@pytest.fixture(scope="module")
def results(trial):
    return trial.ask()


def second_prompt(trial, sample_result):
    return trial.context.task.second_question(sample_result.sample.item).prompt


def test_a_task_that_asks_once_has_no_second_results():
    trial = Trial(Touch())
    assert trial.ask() == []
    assert trial.context.client.requests == []


def test_a_task_of_whose_items_none_is_asked_again_has_none_either():
    task = TouchTwice(untouched={item.group for item in Touch().items()})
    assert Trial(task).ask() == []


def test_every_item_with_a_second_question_is_asked_it_in_the_arms_that_say_so(trial, results):
    ids = sorted(sample.id for sample in trial.samples if sample.group != "tea")
    assert len(ids) == N - 4
    found = [(sample_result.arm, sample_result.sample.id) for sample_result in results]
    assert found == [(arm, item) for arm in ASKED for item in ids]
    for sample_result in results:
        assert sample_result.sample.id in [s.id for s in trial.folds[sample_result.fold].test]


def test_the_same_note_stands_in_the_second_prompt_about_the_same_span(trial, results):
    by_id = {sample.id: sample for sample in trial.samples}
    for sample_result in results:
        arm = trial.folds[sample_result.fold].arms[sample_result.arm]
        first = arm.test[by_id[sample_result.sample.id]]
        prompt = second_prompt(trial, sample_result)
        assert sample_result.written.annotation == first.annotation
        assert sample_result.written.misunderstandings == first.misunderstandings
        if first.annotation is None:
            assert sample_result.written.prompt == prompt
        else:
            expected = annotate(prompt, first.annotation, prompt.spans["target"])
            assert sample_result.written.prompt == expected
            if first.annotation.placement == "inline":
                word = sample_result.sample.item.question["word"]
                assert f"{word} {first.annotation.text}" in expected.content


def test_answers_are_judged_by_the_second_question_and_calibrated_on_it(trial, results):
    task = trial.context.task
    for sample_result in results:
        assert set(sample_result.scores) == {" not", " yes"}
        assert sample_result.score == task.score_second(
            sample_result.sample.item, sample_result.output
        )
        assert sample_result.sample.correct.tolist() == [
            task.score_second(sample_result.sample.item, text).correct for text in (" not", " yes")
        ]
    first = results[0]
    scores = trial.scored(first.sample, first.written.prompt).scores
    expected = trial.bias(first.fold, results).apply(scores, first.sample.readings)
    assert list(first.scores.values()) == pytest.approx(expected)


def test_annotated_second_prompts_are_calibrated_on_those_with_the_arms_notes(trial, results):
    for sample_result in results:
        fold, arm = sample_result.fold, sample_result.arm
        scores = trial.scored(sample_result.sample, sample_result.written.prompt).scores
        noted = sample_result.written.annotation
        bias = trial.own_bias(fold, arm, results) if noted else trial.bias(fold, results)
        expected = bias.apply(scores, sample_result.sample.readings)
        assert list(sample_result.scores.values()) == pytest.approx(expected)


def test_arms_that_were_not_run_are_not_asked():
    trial = Trial(TouchTwice())
    for fold in trial.folds:
        del fold.arms["gated-placebo"], fold.arms["oracle"]
    results = trial.ask(arms=("original", "generic", "saetask"))
    assert {sample_result.arm for sample_result in results} == {"original", "saetask"}


def test_where_answers_are_generated_a_draw_of_the_tested_samples_is_asked():
    settings = replace(SETTINGS, second_question_samples=7, second_question_tokens=5)
    trial = Trial(TouchTwice(generated=True), settings)
    results = trial.ask(seed=3)
    items = {sample_result.sample.id for sample_result in results}
    assert len(items) == 7
    assert len(results) == 7 * len(ASKED)
    assert {type(request) for request in trial.context.client.requests} == {GenerateRequest}
    assert {request.max_new_tokens for request in trial.context.client.requests} == {5}
    for sample_result in results:
        assert sample_result.output.startswith("I say ")
        assert sample_result.scores == {}
    for other, same in ((3, True), (4, False)):
        again = Trial(TouchTwice(generated=True), settings).ask(other)
        assert ({sample_result.sample.id for sample_result in again} == items) == same


def test_the_first_questions_stay_as_they_are(trial, results):
    assert results
    again = Trial(TouchTwice(untouched=["tea"]))
    for fold, same in zip(trial.folds, again.folds, strict=True):
        for arm, prompts in fold.arms.items():
            assert list(prompts.test.values()) == list(same.arms[arm].test.values())
    for sample, same in zip(trial.samples, again.samples, strict=True):
        assert sample.prompt == same.prompt
        assert np.array_equal(sample.correct, same.correct)
