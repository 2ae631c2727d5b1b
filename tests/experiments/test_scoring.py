"""Asking and scoring: which calibration an answer gets, and how it is judged."""

import math
from itertools import pairwise

import numpy as np
import pytest

from saetask import Annotation, Misunderstanding, Span
from saetask.annotation.prompt_writer import ArmPrompt, fixed_note
from saetask.data.samples import Fold, make_samples
from saetask.detection.calibration import FEWEST_ITEMS, Calibration, fit_calibration
from saetask.experiments.context import as_ask, scored_item
from saetask.experiments.fold import Plan
from saetask.experiments.scoring import judge_all
from saetask.inference.client import Ask
from tests.helpers.touch_task import StubAsker, Touch

NOTE = Annotation("(a note)", "end", "notes")
ORIGINAL = Calibration(3.0, {"warm": 0.7, "cold": -0.7})
NOTED = Calibration(2.0, {"warm": -0.4, "cold": 0.4})
N = 60


class Trial:
    """Two folds; `saetask` annotates two items of three, and `oracle` every item."""

    def __init__(self, mute=(), findings=()):
        self.task, self.findings = Touch(mute), list(findings)
        self.samples = make_samples(self.task, self.task.items()[:N])
        self.asker = StubAsker()
        even, odd = list(range(0, N, 2)), list(range(1, N, 2))
        self.plans = [self._plan(even, odd), self._plan(odd, even)]

    def _plan(self, fit, test):
        calibrated_on = fit[2:]
        wanted = [*calibrated_on, *test]

        def write(arm, i):
            prompt = self.samples[i].prompt
            if arm == "oracle" or (arm == "saetask" and i % 3):
                return fixed_note(prompt, NOTE)._replace(misunderstandings=self.findings)
            return ArmPrompt(prompt, None, [])

        prompts = {
            arm: {i: write(arm, i) for i in wanted} for arm in ("oracle", "saetask", "original")
        }
        return Plan(Fold(fit, test), ORIGINAL, NOTED, calibrated_on, prompts, {}, {}, [])

    def judge(self, length=None):
        return judge_all(self.asker, self.task.score, self.samples, self.plans, length)


@pytest.fixture(scope="module")
def trial():
    return Trial()


@pytest.fixture(scope="module")
def outcomes(trial):
    return trial.judge()


def test_outcomes_stand_in_the_order_of_the_tables_each_in_the_fold_that_tests_it(trial, outcomes):
    ids = sorted(sample.item.id for sample in trial.samples)
    assert [(o.arm, o.sample.item.id) for o in outcomes] == [
        (arm, item) for arm in ("original", "saetask", "oracle") for item in ids
    ]
    place = {sample.item.id: i for i, sample in enumerate(trial.samples)}
    assert all(o.fold == 1 - place[o.sample.item.id] % 2 for o in outcomes)


def test_annotated_prompts_are_calibrated_on_the_arms_annotated_fit_items_the_rest_as_the_original(
    trial, outcomes
):
    place = {sample.item.id: i for i, sample in enumerate(trial.samples)}
    for outcome in outcomes:
        plan = trial.plans[outcome.fold]
        calibration = ORIGINAL
        if outcome.written.annotation:
            rows = [
                scored_item(trial.asker, trial.samples[i], plan.prompts[outcome.arm][i].prompt)
                for i in plan.calibrated_on
                if plan.prompts[outcome.arm][i].annotation
            ]
            assert len(rows) >= FEWEST_ITEMS
            assert place[outcome.sample.item.id] not in plan.calibrated_on
            calibration = fit_calibration(rows)
        asked = scored_item(trial.asker, outcome.sample, outcome.written.prompt)
        expected = calibration.apply(asked.scores, asked.readings)
        assert list(outcome.scores.values()) == pytest.approx(expected)
        assert list(outcome.scores) == [" warm", " cold"]


def test_the_likeliest_candidate_is_the_output_and_the_task_judges_it(trial, outcomes):
    for outcome in outcomes:
        assert outcome.output == max(outcome.scores, key=outcome.scores.__getitem__)
        assert outcome.score == trial.task.score(outcome.sample.item, outcome.output)
        assert math.fsum(np.exp(list(outcome.scores.values()))) == pytest.approx(1)
    assert len({outcome.score.correct for outcome in outcomes}) == 2


def test_prompts_of_one_item_are_asked_side_by_side():
    trial = Trial()
    trial.judge()
    contents = [ask.prompt.content.split("\n")[0] for ask in trial.asker.asked]
    changes = sum(a != b for a, b in pairwise(contents))
    assert changes == len(set(contents)) - 1


def test_generated_answers_are_judged_and_candidates_still_scored():
    trial = Trial()
    for outcome in trial.judge(length=5):
        asked = Ask(outcome.written.prompt, max_new_tokens=5)
        assert outcome.output == trial.asker.output(asked)
        assert outcome.score == trial.task.score(outcome.sample.item, outcome.output)
        assert set(outcome.scores) == {" warm", " cold"}
    generated = [ask for ask in trial.asker.asked if not ask.candidates]
    assert {ask.max_new_tokens for ask in generated} == {5}
    assert len(generated) == 3 * N  # of tested items only


def test_an_item_without_candidates_is_wrong_and_not_asked_unless_answers_are_generated():
    trial = Trial(mute=["soup"])
    mute = [o for o in trial.judge() if o.sample.item.group == "soup"]
    assert len(mute) == 3 * 4
    assert all((o.output, o.scores, o.score.correct) == ("", {}, False) for o in mute)
    assert all(ask.candidates for ask in trial.asker.asked)
    mute = [o for o in trial.judge(length=5) if o.sample.item.group == "soup"]
    assert all(o.output and not o.scores for o in mute)


FINDING = Misunderstanding("probe", Span(0, 3), "The", "warm", 0.9, [])


@pytest.mark.parametrize("n", [0, FEWEST_ITEMS - 1, FEWEST_ITEMS])
@pytest.mark.parametrize(("findings", "otherwise"), [([FINDING], NOTED), ([], ORIGINAL)])
def test_an_arm_that_annotates_too_few_fit_items_takes_the_wordings_calibration_or_the_originals(
    n, findings, otherwise
):
    trial = Trial(findings=findings)
    for plan in trial.plans:
        annotated = [i for i in plan.calibrated_on if plan.prompts["saetask"][i].annotation]
        for i in annotated[n:]:
            plan.prompts["saetask"][i] = ArmPrompt(trial.samples[i].prompt, None, [])
    checked = 0
    for outcome in trial.judge():
        if outcome.arm == "saetask" and outcome.written.annotation:
            plan = trial.plans[outcome.fold]
            prompts = plan.prompts["saetask"]
            noted = [i for i in plan.calibrated_on if prompts[i].annotation]
            rows = [scored_item(trial.asker, trial.samples[i], prompts[i].prompt) for i in noted]
            assert len(rows) == n
            calibration = fit_calibration(rows) if n >= FEWEST_ITEMS else otherwise
            scores = trial.asker.scores(as_ask(outcome.sample, outcome.written.prompt))
            expected = calibration.apply(scores, outcome.sample.readings)
            assert list(outcome.scores.values()) == pytest.approx(expected)
            checked += 1
    assert checked > N / 2
