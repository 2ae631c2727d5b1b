"""Asking and scoring: which calibration an answer gets, and how it is judged."""

import math

import numpy as np
import pytest

from saetask.annotation import Annotation
from saetask.annotation.prompt_writer import ArmPrompt, fixed_note
from saetask.data.samples import make_samples
from saetask.detection.calibration import Calibration, fit_calibration
from saetask.experiments.observation import rank_request, scored_item
from saetask.experiments.scoring import FoldPrompts, PreparedArm, score_folds
from saetask.inference.requests import GenerateRequest
from tests.helpers.touch_task import StubClient, Touch

NOTE = Annotation("(a note)", "end", "notes")
ORIGINAL = Calibration(3.0, {"warm": 0.7, "cold": -0.7})
N = 60
ARMS = ("original", "gate-only", "saetask", "oracle")


class Trial:
    """Two folds; `saetask` annotates two samples of three, and `oracle` every sample.

    `gate-only` gives the same two of three an offset that no note stands for.
    """

    def __init__(self, mute=(), fit=fit_calibration):
        self.task = Touch(mute)
        self.samples = make_samples(self.task, self.task.items()[:N])
        self.client = StubClient()
        even, odd = self.samples[::2], self.samples[1::2]
        self.folds = [self._fold(0, even, odd, fit), self._fold(1, odd, even, fit)]

    def _fold(self, number, train, test, fit):
        def write(arm, sample, picked):
            if picked and arm == "gate-only":
                return ArmPrompt(sample.prompt, None, [], own_offset=True)
            if picked and arm != "original":
                return fixed_note(sample.prompt, NOTE)
            return ArmPrompt(sample.prompt, None, [])

        arms = {
            arm: PreparedArm(
                {s: write(arm, s, arm == "oracle" or s.position % 3) for s in test},
                {s: write(arm, s, True) for s in train[2:] if arm != "original"},
                fit,
            )
            for arm in ARMS
        }
        return FoldPrompts(number, test, ORIGINAL, arms)

    def score(self, max_new_tokens=None):
        return score_folds(self.client, self.task.score, self.folds, max_new_tokens)

    def scored(self, sample, prompt):
        """Returns the stub's scores of a sample's candidates after a prompt."""
        return scored_item(sample, self.client.response(rank_request(sample, prompt)))


@pytest.fixture(scope="module")
def trial():
    return Trial()


@pytest.fixture(scope="module")
def results(trial):
    return trial.score()


def test_results_stand_in_the_order_of_the_arms_each_in_the_fold_that_tests_it(trial, results):
    ids = sorted(sample.id for sample in trial.samples)
    assert [(o.arm, o.sample.id) for o in results] == [(arm, item) for arm in ARMS for item in ids]
    assert all(o.fold == 1 - o.sample.position % 2 for o in results)


def test_annotated_prompts_get_the_offset_that_the_arms_training_prompts_have_others_the_originals(
    trial, results
):
    own = 0
    for sample_result in results:
        fold = trial.folds[sample_result.fold]
        written, calibration = sample_result.written, ORIGINAL
        if written.annotation or written.own_offset:
            prompts = fold.arms[sample_result.arm].calibration
            rows = [trial.scored(s, prompt.prompt) for s, prompt in prompts.items()]
            assert len(rows) == N // 2 - 2 and sample_result.sample not in prompts
            calibration = fit_calibration(rows)
            own += 1
        asked = trial.scored(sample_result.sample, written.prompt)
        expected = calibration.apply(asked.scores, asked.readings)
        assert list(sample_result.scores.values()) == pytest.approx(expected)
        assert list(sample_result.scores) == [" warm", " cold"]
    assert own == N + 2 * (2 * N // 3)


def test_only_prompts_with_a_note_count_for_an_arms_offset():
    trial, plain = Trial(), Trial()
    for fold in trial.folds:
        prompts = fold.arms["oracle"].calibration
        for sample in list(prompts)[::2]:
            prompts[sample] = ArmPrompt(sample.prompt, None, [])
    for fold in plain.folds:
        for sample in list(fold.arms["oracle"].calibration)[::2]:
            del fold.arms["oracle"].calibration[sample]
    for first, second in zip(trial.score(), plain.score(), strict=True):
        assert list(first.scores.values()) == pytest.approx(list(second.scores.values()))


def test_each_arm_fits_its_offset_in_its_own_way():
    trial = Trial(fit=lambda items: Calibration(1.0, {"warm": float(len(items))}))
    for sample_result in trial.score():
        fixed = sample_result.written.annotation or sample_result.written.own_offset
        assert not fixed or sample_result.output == " warm"


def test_the_raw_answer_is_what_the_model_says_without_any_offset(trial, results):
    for sample_result in results:
        asked = trial.scored(sample_result.sample, sample_result.written.prompt)
        assert list(sample_result.raw_scores.values()) == asked.scores.tolist()
        assert sample_result.raw_output == [" warm", " cold"][asked.scores.argmax()]
        judged = trial.task.score(sample_result.sample.item, sample_result.raw_output)
        assert sample_result.raw_score == judged
    differing = [o.arm for o in results if o.output != o.raw_output]
    assert set(differing) == set(ARMS)  # so that neither is the other


def test_an_answer_that_is_given_is_taken_and_the_model_is_not_heard():
    trial = Trial()
    given = {sample: f" {('warm', 'cold')[sample.position % 2]}" for sample in trial.samples}
    for fold in trial.folds:
        prompts = fold.arms["saetask"].test
        for sample in prompts:
            prompts[sample] = ArmPrompt(sample.prompt, None, [], answer=given[sample])
    for max_new_tokens in (None, 5):
        for sample_result in trial.score(max_new_tokens):
            if sample_result.arm == "saetask":
                answer = given[sample_result.sample]
                judged = trial.task.score(sample_result.sample.item, answer)
                assert (sample_result.output, sample_result.raw_output) == (answer, answer)
                assert (sample_result.score, sample_result.raw_score) == (judged, judged)


def test_the_likeliest_candidate_is_the_output_and_the_task_judges_it(trial, results):
    for sample_result in results:
        assert sample_result.output == max(
            sample_result.scores, key=sample_result.scores.__getitem__
        )
        assert sample_result.score == trial.task.score(
            sample_result.sample.item, sample_result.output
        )
        assert math.fsum(np.exp(list(sample_result.scores.values()))) == pytest.approx(1)
    assert len({sample_result.score.correct for sample_result in results}) == 2


def test_all_prompts_are_sent_in_one_call_so_that_those_that_begin_alike_are_computed_together():
    trial, calls = Trial(), []
    rank = trial.client.rank
    trial.client.rank = lambda requests, title: calls.append(title) or rank(requests, title)
    trial.score()
    assert len(calls) == 1
    assert len(trial.client.requests) == sum(
        len(arm.test) + len(arm.calibration) for fold in trial.folds for arm in fold.arms.values()
    )


def test_generated_answers_are_judged_and_candidates_scored_in_the_original_prompts_alone():
    trial = Trial()
    for sample_result in trial.score(max_new_tokens=5):
        assert sample_result.output == trial.client.text(
            GenerateRequest(sample_result.written.prompt, 5)
        )
        assert sample_result.score == trial.task.score(
            sample_result.sample.item, sample_result.output
        )
        assert (sample_result.raw_output, sample_result.raw_score) == (
            sample_result.output,
            sample_result.score,
        )
        ranked = {" warm", " cold"} if sample_result.arm == "original" else set()
        assert set(sample_result.scores) == ranked
    generated = [r for r in trial.client.requests if isinstance(r, GenerateRequest)]
    assert {request.max_new_tokens for request in generated} == {5}
    assert len(generated) == len(ARMS) * N  # of tested samples only


def test_a_sample_without_candidates_is_wrong_and_not_asked_unless_answers_are_generated():
    trial = Trial(mute=["soup"])
    mute = [o for o in trial.score() if o.sample.group == "soup"]
    assert len(mute) == len(ARMS) * 4
    assert all((o.output, o.scores, o.score.correct) == ("", {}, False) for o in mute)
    assert all((o.raw_output, o.raw_scores) == ("", {}) for o in mute)
    assert trial.client.n_generated() == 0
    assert all(request.candidates for request in trial.client.requests)
    mute = [o for o in trial.score(max_new_tokens=5) if o.sample.group == "soup"]
    assert all(o.output and not o.scores for o in mute)
