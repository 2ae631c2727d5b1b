"""Asking and scoring: which calibration an answer gets, and how it is judged."""

import math

import numpy as np
import pytest

from saetask.annotation import Annotation
from saetask.annotation.prompt_writer import ArmPrompt, fixed_note
from saetask.data import Span
from saetask.data.samples import make_samples
from saetask.detection import Misunderstanding
from saetask.detection.calibration import FEWEST_ITEMS, Calibration, fit_calibration
from saetask.experiments.observation import rank_request, scored_item
from saetask.experiments.scoring import FoldPrompts, score_folds
from saetask.inference.requests import GenerateRequest
from tests.helpers.touch_task import StubClient, Touch

NOTE = Annotation("(a note)", "end", "notes")
ORIGINAL = Calibration(3.0, {"warm": 0.7, "cold": -0.7})
NOTED = Calibration(2.0, {"warm": -0.4, "cold": 0.4})
N = 60


class Trial:
    """Two folds; `saetask` annotates two samples of three, and `oracle` every sample."""

    def __init__(self, mute=(), findings=()):
        self.task, self.findings = Touch(mute), list(findings)
        self.samples = make_samples(self.task, self.task.items()[:N])
        self.client = StubClient()
        even, odd = self.samples[::2], self.samples[1::2]
        self.folds = [self._fold(0, even, odd), self._fold(1, odd, even)]

    def _fold(self, number, train, test):
        calibration = train[2:]

        def write(arm, sample):
            if arm == "oracle" or (arm == "saetask" and sample.position % 3):
                return fixed_note(sample.prompt, NOTE)._replace(misunderstandings=self.findings)
            return ArmPrompt(sample.prompt, None, [])

        prompts = {
            arm: {sample: write(arm, sample) for sample in (*calibration, *test)}
            for arm in ("original", "saetask", "oracle")
        }
        return FoldPrompts(number, calibration, test, ORIGINAL, NOTED, prompts)

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
    assert [(o.arm, o.sample.id) for o in results] == [
        (arm, item) for arm in ("original", "saetask", "oracle") for item in ids
    ]
    assert all(o.fold == 1 - o.sample.position % 2 for o in results)


def test_annotated_prompts_are_calibrated_on_the_arms_annotated_samples_the_rest_as_the_original(
    trial, results
):
    for sample_result in results:
        fold = trial.folds[sample_result.fold]
        calibration = ORIGINAL
        if sample_result.written.annotation:
            prompts = fold.prompts[sample_result.arm]
            noted = [s for s in fold.calibration if prompts[s].annotation]
            rows = [trial.scored(s, prompts[s].prompt) for s in noted]
            assert len(rows) >= FEWEST_ITEMS
            assert sample_result.sample not in fold.calibration
            calibration = fit_calibration(rows)
        asked = trial.scored(sample_result.sample, sample_result.written.prompt)
        expected = calibration.apply(asked.scores, asked.readings)
        assert list(sample_result.scores.values()) == pytest.approx(expected)
        assert list(sample_result.scores) == [" warm", " cold"]


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
    assert len(trial.client.requests) == 3 * sum(
        len(fold.calibration) + len(fold.test) for fold in trial.folds
    )


def test_generated_answers_are_judged_and_candidates_still_scored():
    trial = Trial()
    for sample_result in trial.score(max_new_tokens=5):
        assert sample_result.output == trial.client.text(
            GenerateRequest(sample_result.written.prompt, 5)
        )
        assert sample_result.score == trial.task.score(
            sample_result.sample.item, sample_result.output
        )
        assert set(sample_result.scores) == {" warm", " cold"}
    generated = [r for r in trial.client.requests if isinstance(r, GenerateRequest)]
    assert {request.max_new_tokens for request in generated} == {5}
    assert len(generated) == 3 * N  # of tested samples only


def test_a_sample_without_candidates_is_wrong_and_not_asked_unless_answers_are_generated():
    trial = Trial(mute=["soup"])
    mute = [o for o in trial.score() if o.sample.group == "soup"]
    assert len(mute) == 3 * 4
    assert all((o.output, o.scores, o.score.correct) == ("", {}, False) for o in mute)
    assert trial.client.n_generated() == 0
    assert all(request.candidates for request in trial.client.requests)
    mute = [o for o in trial.score(max_new_tokens=5) if o.sample.group == "soup"]
    assert all(o.output and not o.scores for o in mute)


FINDING = Misunderstanding("probe", Span(0, 3), "The", "warm", 0.9, [])


@pytest.mark.parametrize("n", [0, FEWEST_ITEMS - 1, FEWEST_ITEMS])
@pytest.mark.parametrize(("findings", "otherwise"), [([FINDING], NOTED), ([], ORIGINAL)])
def test_an_arm_that_annotates_too_few_samples_takes_the_templates_calibration_or_the_originals(
    n, findings, otherwise
):
    trial = Trial(findings=findings)
    for fold in trial.folds:
        prompts = fold.prompts["saetask"]
        annotated = [sample for sample in fold.calibration if prompts[sample].annotation]
        for sample in annotated[n:]:
            prompts[sample] = ArmPrompt(sample.prompt, None, [])
    checked = 0
    for sample_result in trial.score():
        if sample_result.arm == "saetask" and sample_result.written.annotation:
            fold = trial.folds[sample_result.fold]
            prompts = fold.prompts["saetask"]
            noted = [sample for sample in fold.calibration if prompts[sample].annotation]
            rows = [trial.scored(sample, prompts[sample].prompt) for sample in noted]
            assert len(rows) == n
            calibration = fit_calibration(rows) if n >= FEWEST_ITEMS else otherwise
            asked = trial.scored(sample_result.sample, sample_result.written.prompt)
            expected = calibration.apply(asked.scores, sample_result.sample.readings)
            assert list(sample_result.scores.values()) == pytest.approx(expected)
            checked += 1
    assert checked > N / 2
