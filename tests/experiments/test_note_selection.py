"""Note templates: compared on the fit split, the best of them on all of its samples."""

import copy
import re
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.annotation import Annotation
from saetask.annotation.base import PLACEMENTS
from saetask.annotation.fixed_notes import GENERIC
from saetask.annotation.prompt_writer import NoteTemplate, fixed_note
from saetask.data.samples import make_samples
from saetask.detection.calibration import ScoredItem, fit_calibration
from saetask.experiments.note_selection import (
    SMALLEST_PART,
    NoteScores,
    _readings_in_turn,
    choose_note,
    choose_template,
    gold_finding,
    order_by_loss,
    score_notes,
)
from saetask.experiments.observation import rank_request, scored_item
from saetask.inference.client import RankResponse
from tests.helpers.touch_task import StubClient, Touch, make_context

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
    scores = score_notes(context, [samples], 0)
    (annotator,) = context.annotators
    assert scores.templates == [NoteTemplate(annotator, number) for number in range(len(places))]
    assert len(context.client.requests) == len(scores.scored) == 6 * len(places)


def test_only_the_given_samples_with_a_right_reading_are_asked(context):
    task = Touch(mute=["tea"])
    samples = make_samples(task, task.items()[:12])
    assert samples[5].group == "tea"
    given = [samples[i] for i in (1, 2, 5, 9)]
    scores = score_notes(context, [given], 0)
    assert set(scores.drawn) == {samples[i] for i in (1, 2, 9)}


@pytest.mark.parametrize("n", [1, 3])
def test_as_many_samples_are_drawn_as_the_settings_say_and_the_same_for_a_seed(context, n):
    samples = make_samples(Touch(), Touch().items())
    limited = replace(context, settings=replace(context.settings, note_samples=n))
    drawn = score_notes(limited, [samples], 0).drawn
    assert len(drawn) == n
    assert score_notes(limited, [samples], 0).drawn == drawn
    assert any(score_notes(limited, [samples], seed).drawn != drawn for seed in range(1, 4))


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
    scores = NoteScores([NoteTemplate(notes, 0), NoteTemplate(notes, 1)], samples, scored)
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
    scores = NoteScores(templates, samples, {(0, samples[7]): row(1.0), (1, samples[1]): row(1.0)})
    choice = choose_template(scores, samples[1:3])
    assert choice.index == 1
    assert choice.losses[0]["fit_loss"] is None


def test_without_any_scores_the_first_template_is_taken():
    scores = NoteScores([NoteTemplate(EveryPlace(), 0)], [], {})
    assert choose_template(scores, make_bare_samples(2)).index == 0


def test_a_note_that_is_the_same_for_all_is_chosen_on_train_samples_alone():
    samples = make_bare_samples(8)
    templates = [NoteTemplate(GENERIC, number) for number in (0, 4)]
    scored = {
        (template, samples[i]): (row, other)[i % 2]([-1.0, 2.0][(template == 1) == (i < 4)])
        for template in range(2)
        for i in range(8)
    }
    scores = NoteScores(templates, samples, scored)
    assert choose_note(scores, samples[:4]) == GENERIC.notes[4]
    assert choose_note(scores, samples[4:]) == GENERIC.notes[0]


def test_templates_are_ordered_by_loss_those_without_one_last():
    losses = [
        {"fit_loss": loss, "n": 8 * (loss is not None)} for loss in (None, 0.5, 0.2, None, 0.3)
    ]
    assert order_by_loss(losses) == [2, 4, 1, 0, 3]


def test_losses_that_differ_by_rounding_alone_are_ties_which_the_first_template_wins():
    assert order_by_loss([{"fit_loss": 0.2 + 4e-8, "n": 8}, {"fit_loss": 0.2, "n": 8}]) == [0, 1]


class TwelveNotes:
    """Twelve notes, each with its number."""

    name = "twelve-notes"

    def candidates(self, misunderstanding, labels):
        return [
            Annotation(f"(note {number}: {misunderstanding.reading})", "end", self.name)
            for number in range(12)
        ]


class ObedientClient(StubClient):
    """Answers what the note says, the more surely the higher the note's number."""

    def response(self, request):
        number, reading = re.search(r"note (\d+): (\w+)", request.prompt.content).groups()
        told = np.array([text.strip() == reading for text in request.candidates])
        noise = super().response(request).log_likelihoods
        return RankResponse(noise + 0.2 * int(number) * told)


@pytest.fixture(scope="module")
def halved(tiny_model, tiny_sae):
    """Scores of twelve templates on two fit splits that share half of their samples."""
    context = make_context(
        tiny_model, tiny_sae, None, annotator=TwelveNotes(), client=ObedientClient()
    )
    samples = make_samples(Touch(), Touch().items())
    splits = [samples[:40], samples[20:]]
    return context.client, splits, score_notes(context, splits, 0)


def test_every_template_is_asked_on_a_part_and_four_of_each_split_on_all(halved):
    client, splits, scores = halved
    assert len(client.requests) == len(scores.scored) < 12 * len(scores.drawn)
    for split in splits:
        own = [sample for sample in scores.drawn if sample in split]
        losses = choose_template(scores, split).losses
        numbers = sorted((entry["n"] for entry in losses), reverse=True)
        assert numbers[:4] == [len(own)] * 4
        assert numbers[4:] == [SMALLEST_PART] * 8 and len(own) > SMALLEST_PART


def test_the_choice_is_that_of_a_comparison_on_all_samples(halved):
    client, splits, scores = halved
    (annotator,) = {template.annotator for template in scores.templates}
    for split in splits:
        chosen = choose_template(scores, split)
        own = [sample for sample in scores.drawn if sample in split]
        slow = []
        for number in range(12):
            notes = [annotator.candidates(gold_finding(s)[0], {})[number] for s in own]
            prompts = [fixed_note(s.prompt, note).prompt for s, note in zip(own, notes)]
            rows = [
                scored_item(s, client.response(rank_request(s, prompt)))
                for s, prompt in zip(own, prompts)
            ]
            fitted = fit_calibration(rows)
            right = [fitted.apply(r.scores, r.readings)[r.correct.argmax()] for r in rows]
            slow.append(-np.mean(right))
        assert chosen.index == int(np.argmin(slow))
        assert chosen.losses[chosen.index]["fit_loss"] == pytest.approx(min(slow))


class WritesTheRightAnswerAfter(StubClient):
    """Writes the right answer where one note was written into the prompt, and nothing elsewhere."""

    note = ""

    def text(self, request):
        content = request.prompt.content
        said = "warm" if re.search(r"hot|boiling", content) else "cold"
        return said if self.note and self.note in content else "nothing"


def test_where_answers_are_generated_the_best_two_by_likelihood_are_told_apart_by_what_is_written(
    tiny_model, tiny_sae
):
    client = WritesTheRightAnswerAfter()
    context = make_context(tiny_model, tiny_sae, None, annotator=TwelveNotes(), client=client)
    samples = make_samples(Touch(), Touch().items())
    ranked = choose_template(score_notes(context, [samples], 0), samples)
    first, second, third = order_by_loss(ranked.losses)[:3]
    for number, chosen in ((first, first), (second, second), (third, first)):
        client.note, client.requests = f"(note {number}: ", []
        scores = score_notes(context, [samples], 0, generate=True)
        choice = choose_template(scores, samples)
        accuracies = {i: e["fit_accuracy"] for i, e in enumerate(choice.losses) if len(e) > 4}
        assert accuracies == {i: float(i == number) for i in (first, second)}
        assert choice.index == chosen
        assert client.n_generated() == 2 * len(scores.drawn)


def test_a_splits_choice_depends_on_no_score_of_another_splits_samples(halved):
    _, splits, scores = halved
    generator = np.random.default_rng(0)
    for split in splits:
        noise = {
            key: row if key[1] in split else row._replace(scores=generator.normal(size=2))
            for key, row in scores.scored.items()
        }
        others = {
            (n, sample): row(generator.normal())
            for n in range(12)
            for sample in scores.drawn
            if sample not in split
        }
        changed = scores._replace(scored=noise | others)
        assert choose_template(changed, split) == choose_template(scores, split)


def test_templates_that_were_dropped_come_after_those_compared_on_all_samples():
    losses = [{"fit_loss": loss, "n": n} for loss, n in ((0.1, 8), (0.5, 32), (0.3, 32), (0.2, 16))]
    assert order_by_loss(losses) == [2, 1, 3, 0]


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_any_first_part_has_as_many_of_each_reading_as_there_are(readings):
    samples = [SimpleNamespace(gold_reading=reading) for reading in readings]
    order = _readings_in_turn(samples)
    assert sorted(map(id, order)) == sorted(map(id, samples))
    for length in range(len(order)):
        counts = Counter(sample.gold_reading for sample in order[:length])
        for reading in counts:
            exhausted = [r for r in set(readings) if counts[r] == readings.count(r)]
            others = [counts[r] for r in set(readings) - set(exhausted)]
            assert counts[reading] <= min(others, default=counts[reading]) + 1
