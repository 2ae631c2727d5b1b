"""The fitted pipeline: its note template is chosen on the fit split; it can be saved."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from saetask.annotation import Annotation
from saetask.annotation.base import PLACEMENTS, annotate
from saetask.annotation.fixed_notes import GENERIC
from saetask.annotation.prompt_writer import NoteTemplate
from saetask.data.prompts import Span, as_prompt
from saetask.data.samples import Sample, make_samples
from saetask.detection import Finding
from saetask.detection.calibration import (
    FEWEST_ITEMS,
    UNCALIBRATED,
    ScoredItem,
    fit_calibration,
    tested_calibration,
)
from saetask.experiments.note_selection import (
    NoteScores,
    choose_note,
    choose_template,
    order_by_loss,
    score_notes,
)
from saetask.experiments.pipeline import load_pipeline, raw_answer_shares, save_pipeline
from saetask_plugins.detectors.uncertainty import Uncertainty
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import StubClient, Touch, make_context, make_lab

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
    return make_context(tiny_model, tiny_sae, None, annotator=EveryPlace(), client=StubClient())


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
    scores = score_notes(context, samples, 0)
    (annotator,) = context.annotators
    assert scores.templates == [NoteTemplate(annotator, number) for number in range(len(places))]
    assert len(context.client.requests) == len(scores.scored) == 6 * len(places)


def test_only_the_given_samples_with_a_right_reading_are_asked(context):
    task = Touch(mute=["tea"])
    samples = make_samples(task, task.items()[:12])
    assert samples[5].group == "tea"
    given = [samples[i] for i in (1, 2, 5, 9)]
    scores = score_notes(context, given, 0)
    assert scores.samples() == {samples[i] for i in (1, 2, 9)}


@pytest.mark.parametrize("n", [1, 3])
def test_as_many_samples_are_drawn_as_the_settings_say_and_the_same_for_a_seed(context, n):
    samples = make_samples(Touch(), Touch().items())
    limited = replace(context, settings=replace(context.settings, note_samples=n))
    drawn = score_notes(limited, samples, 0).samples()
    assert len(drawn) == n
    assert score_notes(limited, samples, 0).samples() == drawn
    assert any(score_notes(limited, samples, seed).samples() != drawn for seed in range(1, 4))


def row(score):
    """Two candidates, of which the right one is ahead by a score."""
    return ScoredItem(np.array([score, 0.0]), ["warm", "cold"], np.array([True, False]))


def other(score):
    """The same with the other reading right, so that no offset explains both."""
    return ScoredItem(np.array([0.0, score]), ["warm", "cold"], np.array([False, True]))


def make_bare_samples(n):
    """Returns samples of which nothing but their identity is of interest."""
    return make_samples(Touch(), Touch().items()[:n])


def test_the_template_under_which_right_answers_are_likeliest_is_chosen_on_train_samples_alone():
    notes, samples = EveryPlace(), make_bare_samples(8)
    margins = {(0, 0): -1.0, (0, 4): 2.0, (1, 0): 2.0, (1, 4): -1.0}
    scored = {
        (template, samples[first + i]): (row, other)[i % 2](margin if i < 3 else 0.5)
        for (template, first), margin in margins.items()
        for i in range(4)
    }
    scores = NoteScores([NoteTemplate(notes, 0), NoteTemplate(notes, 1)], scored)
    choice = choose_template(scores, samples[:4])
    assert choice.index == 1
    assert choose_template(scores, samples[4:]).index == 0
    for template, loss in enumerate(choice.losses):
        rows = [scored[template, sample] for sample in samples[:4]]
        fitted = fit_calibration(rows)
        right = [fitted.apply(r.scores, r.readings)[r.correct.argmax()] for r in rows]
        assert loss["fit_loss"] == pytest.approx(-np.mean(right))
        assert (loss["annotator"], loss["wording"]) == ("every-place", template)


def test_a_template_that_no_train_sample_was_asked_in_is_not_the_best():
    notes, samples = EveryPlace(), make_bare_samples(8)
    templates = [NoteTemplate(notes, 0), NoteTemplate(notes, 1)]
    scores = NoteScores(templates, {(0, samples[7]): row(1.0), (1, samples[1]): row(1.0)})
    choice = choose_template(scores, samples[1:3])
    assert choice.index == 1
    assert choice.losses[0]["fit_loss"] is None


def test_without_any_scores_the_first_template_is_taken():
    scores = NoteScores([NoteTemplate(EveryPlace(), 0)], {})
    assert choose_template(scores, make_bare_samples(2)).index == 0


def test_a_note_that_is_the_same_for_all_is_chosen_on_train_samples_alone():
    samples = make_bare_samples(8)
    templates = [NoteTemplate(GENERIC, number) for number in (0, 4)]
    scored = {
        (template, samples[i]): (row, other)[i % 2]([-1.0, 2.0][(template == 1) == (i < 4)])
        for template in range(2)
        for i in range(8)
    }
    scores = NoteScores(templates, scored)
    assert choose_note(scores, samples[:4]) == GENERIC.notes[4]
    assert choose_note(scores, samples[4:]) == GENERIC.notes[0]


def test_templates_are_ordered_by_loss_those_without_one_last():
    losses = [{"fit_loss": loss} for loss in (None, 0.5, 0.2, None, 0.3)]
    assert order_by_loss(losses) == [2, 4, 1, 0, 3]


def test_losses_that_differ_by_rounding_alone_are_ties_which_the_first_template_wins():
    assert order_by_loss([{"fit_loss": 0.2 + 4e-8}, {"fit_loss": 0.2}]) == [0, 1]


@pytest.mark.parametrize("n_asked", [FEWEST_ITEMS, FEWEST_ITEMS - 1])
def test_annotated_prompts_are_calibrated_on_train_samples_in_the_chosen_template_if_they_suffice(
    tiny_model, tiny_sae, n_asked
):
    lab = make_lab(tiny_model, tiny_sae, Uncertainty)
    train: list[Sample] = lab.fold.train
    asked = {*train[:n_asked], *lab.fold.test}
    scored = {
        # A bias that hides answers which tell the right reading.
        key: scores._replace(scores=9.0 * scores.correct + np.array([30.0, 0.0]))
        for key, scores in lab.note_scores.scored.items()
        if key[1] in asked
    }
    scores = lab.note_scores._replace(scored=scored)
    fitted = replace(lab, note_scores=scores).fit_pipeline()
    template = scores.templates.index(fitted.template)
    own = tested_calibration([scored[template, sample] for sample in train[:n_asked]])
    assert (own == UNCALIBRATED) == (n_asked < FEWEST_ITEMS)
    assert fitted.note_bias == own


def test_a_prompt_of_the_fit_split_is_judged_with_its_group_held_out_others_by_the_detector(
    tiny_model, tiny_sae
):
    lab = make_lab(tiny_model, tiny_sae, QuickProbe)
    fitted = lab.fit_pipeline()
    assert list(fitted.findings) == lab.fold.train
    for observation in lab.observed(lab.fold.train):
        assert fitted.predict(observation) is fitted.findings[observation.sample]
    for observation in lab.observed(lab.fold.test):
        expected = fitted.detector.detect(fitted.input(observation))
        assert fitted.predict(observation) == expected


def test_a_saved_pipeline_judges_the_same_and_a_damaged_one_is_none(tiny_model, tiny_sae, tmp_path):
    lab = make_lab(tiny_model, tiny_sae, QuickProbe)
    fitted = lab.fit_pipeline()
    save_pipeline(tmp_path / "fit", fitted)
    loaded = load_pipeline(tmp_path / "fit", lab.context)
    assert (loaded.bias, loaded.note_bias) == (fitted.bias, fitted.note_bias)
    assert loaded.template == fitted.template
    assert loaded.raw_answers == fitted.raw_answers
    for observation in lab.observed(lab.fold.test):
        assert loaded.predict(observation) == fitted.predict(observation)
    document = tmp_path / "fit" / "fit.json"
    document.write_text(document.read_text()[:-9])
    assert load_pipeline(tmp_path / "fit", lab.context) is None
    assert load_pipeline(tmp_path / "none", lab.context) is None


def test_raw_answers_are_counted_before_any_offset_on_the_fit_split_alone(tiny_model, tiny_sae):
    lab = make_lab(tiny_model, tiny_sae, QuickProbe)
    fitted = lab.fit_pipeline()
    said = [
        o.sample.readings[int(np.argmax(o.response.scores))] for o in lab.observed(lab.fold.train)
    ]
    assert fitted.raw_answers == {name: said.count(name) / len(said) for name in set(said)}
    assert raw_answer_shares([]) == {}


class NoProbabilities:
    """A detector that says how probable a failure is, and nothing of the readings."""

    name = "no-probabilities"

    def fit(self, inputs, gold_readings, groups):
        return [Finding(0.5, []) for _ in inputs]


def test_a_detector_whose_findings_lack_probabilities_is_refused_by_name(tiny_model, tiny_sae):
    lab = make_lab(tiny_model, tiny_sae, NoProbabilities, n_items=8)
    message = refusal(lab.fit_pipeline)
    assert "'no-probabilities'" in message and "saetask.detection.Finding" in message


class Beyond(QuickProbe):
    """Finds something outside the prompt once it is fitted."""

    span = (300, 350)

    def detect(self, detector_input):
        finding = super().detect(detector_input)
        found = self.explain(detector_input, finding.leading)._replace(span=Span(*self.span))
        return finding._replace(misunderstandings=[found])


@pytest.mark.parametrize("span", [(300, 350), (-1, 4), (4, 4), (9, 2)])
def test_a_detectors_span_outside_the_prompt_is_refused_by_name(
    tiny_model, tiny_sae, monkeypatch, span
):
    monkeypatch.setattr(Beyond, "span", span)
    lab = make_lab(tiny_model, tiny_sae, Beyond)
    (observation,) = lab.observed(lab.fold.test[:1])
    line = refusal(lab.fit_pipeline().predict, observation)
    assert f"Detector '{Beyond.name}'" in line and f"{span[0]} to {span[1]}" in line
    assert observation.sample.id in line


def test_a_note_that_is_none_is_refused():
    assert "'a text'" in refusal(annotate, as_prompt("It rains."), "a text")
