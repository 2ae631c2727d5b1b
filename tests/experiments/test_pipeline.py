"""Choosing a wording on the fit split, among those that can be asked."""

import copy

import numpy as np
import pytest

from saetask import Annotation, Finding
from saetask.annotation.base import PLACEMENTS
from saetask.data.samples import make_samples
from saetask.detection.calibration import FEWEST_ITEMS, ScoredItem, fit_calibration
from saetask.experiments.note_selection import Trials, best_wordings, choose_wording, try_wordings
from saetask.experiments.pipeline import fit
from saetask_plugins.detectors.uncertainty import Uncertainty
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import StubAsker, Touch, make_apparatus, make_lab

TEMPLATE = "{% for m in messages %}[{{ m['role'] }}: {{ m['content'] }}]{% endfor %}"
REFUSES = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}"


class EveryPlace:
    """The same note in every place."""

    name = "every-place"

    def candidates(self, misunderstanding, labels):
        text = f"(that is {misunderstanding.reading})"
        return [Annotation(text, placement, self.name) for placement in PLACEMENTS]


@pytest.fixture
def context(tiny_model, tiny_sae):
    return make_apparatus(tiny_model, tiny_sae, None, note=EveryPlace(), asker=StubAsker())


@pytest.mark.parametrize(
    ("template", "places"),
    [(TEMPLATE, PLACEMENTS), (REFUSES + TEMPLATE, PLACEMENTS[:-1])],
    ids=["takes a system message", "refuses one"],
)
def test_a_placement_that_the_chat_template_refuses_is_not_tried(
    context, monkeypatch, template, places
):
    assert PLACEMENTS[-1] == "system"
    monkeypatch.setattr(context.model, "tokenizer", copy.copy(context.model.tokenizer))
    monkeypatch.setattr(context.model.tokenizer, "chat_template", template)
    samples = make_samples(Touch(), Touch().items()[:6])
    trials = try_wordings(context, samples, range(6), 0)
    assert trials.styles == [(context.annotators[0], number) for number in range(len(places))]
    assert len(context.asker.asked) == len(trials.scored) == 6 * len(places)


def test_only_the_given_items_with_a_right_reading_are_tried(context):
    task = Touch(mute=["tea"])
    samples = make_samples(task, task.items()[:12])
    assert samples[5].item.group == "tea"
    trials = try_wordings(context, samples, [1, 2, 5, 9], 0)
    assert {i for _, i in trials.scored} == {1, 2, 9}


def row(score):
    """Two candidates, of which the right one is ahead by a score."""
    return ScoredItem(np.array([score, 0.0]), ["warm", "cold"], np.array([True, False]))


def other(score):
    """The same with the other reading right, so that no offset explains both."""
    return ScoredItem(np.array([0.0, score]), ["warm", "cold"], np.array([False, True]))


def test_the_wording_under_which_right_answers_are_likeliest_is_chosen_on_fit_items_alone():
    notes = EveryPlace()
    margins = {(0, 0): -1.0, (0, 4): 2.0, (1, 0): 2.0, (1, 4): -1.0}
    scored = {
        (style, first + i): (row, other)[i % 2](margin if i < 3 else 0.5)
        for (style, first), margin in margins.items()
        for i in range(4)
    }
    trials = Trials([(notes, 0), (notes, 1)], scored)
    assert choose_wording(trials, {0, 1, 2, 3})[0] == 1
    assert choose_wording(trials, {4, 5, 6, 7})[0] == 0
    _, losses = choose_wording(trials, {0, 1, 2, 3})
    for style, loss in enumerate(losses):
        rows = [scored[style, i] for i in range(4)]
        fitted = fit_calibration(rows)
        right = [fitted.apply(r.scores, r.readings)[r.correct.argmax()] for r in rows]
        assert loss["fit_loss"] == pytest.approx(-np.mean(right))
        assert (loss["annotator"], loss["wording"]) == ("every-place", style)


def test_a_wording_that_no_fit_item_was_asked_in_is_not_the_best():
    notes = EveryPlace()
    trials = Trials([(notes, 0), (notes, 1)], {(0, 7): row(1.0), (1, 1): row(1.0)})
    chosen, losses = choose_wording(trials, {1, 2})
    assert chosen == 1
    assert losses[0]["fit_loss"] is None


def test_without_any_trial_the_first_wording_is_taken():
    assert choose_wording(Trials([(EveryPlace(), 0)], {}), {1, 2})[0] == 0


def test_wordings_are_ordered_by_loss_those_without_one_last():
    losses = [{"fit_loss": loss} for loss in (None, 0.5, 0.2, None, 0.3)]
    assert best_wordings(losses) == [2, 4, 1, 0, 3]


@pytest.mark.parametrize("n_tried", [FEWEST_ITEMS, FEWEST_ITEMS - 1])
def test_annotated_prompts_are_calibrated_on_fit_items_in_the_chosen_wording_if_they_suffice(
    tiny_model, tiny_sae, n_tried
):
    lab = make_lab(tiny_model, tiny_sae, Uncertainty)
    samples, chosen = lab.study.samples, lab.study.folds[0].fit
    tried = {*chosen[:n_tried], *lab.study.folds[0].test}
    scored = {(s, i): row for (s, i), row in lab.trials.scored.items() if i in tried}
    trials = Trials(lab.trials.styles, scored)
    fitted = fit(lab.context, samples, chosen, lab.material, trials)
    style = trials.styles.index((fitted.annotator, fitted.wording))
    own = fit_calibration([scored[style, i] for i in chosen[:n_tried]])
    assert own != fitted.original
    assert fitted.annotated == (own if n_tried == FEWEST_ITEMS else fitted.original)


class NoProbabilities:
    """A detector that says how probable a failure is, and nothing of the readings."""

    name = "no-probabilities"

    def fit(self, readings, outcomes, groups):
        return [Finding(0.5, []) for _ in readings]


def test_a_detector_whose_findings_lack_probabilities_is_refused_by_name(tiny_model, tiny_sae):
    lab = make_lab(tiny_model, tiny_sae, NoProbabilities, n_items=8)
    samples, chosen = lab.study.samples, lab.study.folds[0].fit
    message = refusal(fit, lab.context, samples, chosen, lab.material, lab.trials)
    assert "'no-probabilities'" in message and "saetask.Finding" in message
