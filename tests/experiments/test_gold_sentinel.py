"""Gold answers of tested items reach nothing but the oracle's prompts, and scoring."""

from dataclasses import replace

import pytest

from saetask.data.samples import make_samples
from saetask.experiments.arms import arm_names, arms_named
from saetask.experiments.runner import run_experiment
from tests.helpers.named_probe import NamedProbe
from tests.helpers.touch_task import (
    SENTINEL,
    SETTINGS,
    StubClient,
    TouchTwice,
    make_context,
    make_folds_in_turn,
)

OTHER = {"warm": "cold", "cold": "warm"}
N_FOLDS = 2
FLIPPED = 0
"""The fold whose test items get the other gold answer; the other folds are fitted on them."""


class Outcome:
    """What an experiment made of the items of one fold, whose gold answers may be flipped."""

    def __init__(self, model, sae, flip):
        self.task = TouchTwice()
        samples = make_samples(self.task, self.task.items())
        flipped = {s.id for s in make_folds_in_turn(samples, N_FOLDS)[FLIPPED].test} if flip else ()
        items = [
            replace(s.item, gold=(SENTINEL, OTHER[s.item.gold[1]])) if s.id in flipped else s.item
            for s in samples
        ]
        folds = make_folds_in_turn(make_samples(self.task, items), N_FOLDS)
        context = make_context(
            model, sae, NamedProbe, self.task, client=StubClient(), settings=SETTINGS
        )
        self.result = run_experiment([context], folds, arms_named(arm_names()), False, 0)
        self.tested = {sample.id for sample in folds[FLIPPED].test}
        self.choices = self.result.selection[FLIPPED], self.result.majorities[FLIPPED]

    def rows(self, second=False):
        """Returns the fold's results in every arm but the oracle."""
        results = self.result.second_results if second else self.result.results
        return [o for o in results if o.fold == FLIPPED and o.arm != "oracle"]

    def oracle(self):
        """Returns the oracle's prompts in this fold."""
        rows = [o for o in self.result.results if o.fold == FLIPPED and o.arm == "oracle"]
        return [row.written.prompt for row in rows]

    def other_folds(self):
        """Returns what saetask writes in the other folds."""
        rows = [o for o in self.result.results if o.fold != FLIPPED and o.arm == "saetask"]
        return [row.written for row in rows]

    def findings(self):
        """Returns the findings of every detector in the tested items."""
        found = self.result.findings
        return {name: {i: found[name][i] for i in self.tested} for name in found}


@pytest.fixture(scope="module")
def pair(tiny_model, tiny_sae):
    """The same experiment with the gold answers as they are, and with those of a fold flipped.

    Prompts are read by the tiny model, and answered by a stub, whose scores do not depend on the
    batch that a prompt stands in: what is the same is the same to the bit.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "saetask.experiments.prompt_optimisation._rewrite", lambda context, request: "Think."
        )
        return [Outcome(tiny_model, tiny_sae, flip) for flip in (False, True)]


def test_every_prompt_note_finding_offset_and_answer_is_the_same(pair):
    plain, flipped = pair
    assert {row.arm for row in plain.rows()} == {*arm_names()} - {"oracle"}
    for first, second in zip(plain.rows(), flipped.rows(), strict=True):
        where = first.arm, first.sample.id
        assert where == (second.arm, second.sample.id)
        assert second.written == first.written, where
        assert second.raw_scores == first.raw_scores, where
        assert second.scores == first.scores, where  # raw scores with the arm's offset
        assert (second.output, second.raw_output) == (first.output, first.raw_output), where
    assert plain.oracle() != flipped.oracle()


def test_every_detector_finds_the_same_and_every_choice_of_the_fit_split_is_the_same(pair):
    plain, flipped = pair
    assert flipped.findings() == plain.findings()
    assert flipped.choices == plain.choices


def test_the_second_question_is_asked_with_the_same_notes(pair):
    plain, flipped = pair
    assert plain.rows(second=True)
    for first, second in zip(plain.rows(second=True), flipped.rows(second=True), strict=True):
        assert (second.written, second.scores) == (first.written, first.scores)


def test_the_answers_are_judged_by_the_other_gold_and_other_folds_are_fitted_on_it(pair):
    plain, flipped = pair
    for first, second in zip(plain.rows(), flipped.rows(), strict=True):
        assert first.score.correct != second.score.correct
    assert plain.other_folds() != flipped.other_folds()
