"""The model's own answers: orders of listed choices, else draws; what they mean is told apart."""

from dataclasses import replace

import numpy as np
import pytest

from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import as_prompt
from saetask.discovery import asking
from saetask.discovery.own_answers import check_askable, own_answers
from saetask.inference.client import ModelClient, RankResponse
from tests.helpers.refusals import refusal

LISTED = "Which is a drink?\nA. rice\nB. tea\nC. bread"
PLAIN = "Tea is a drink. True?"


def item(name, text, choices=(), target=None):
    return EvaluatedItem(name, as_prompt(text), "logged", 0.0, name, target=target, choices=choices)


class FirstLetterClient:
    """Always takes the first choice, and writes a number that depends on the sample."""

    def rank(self, requests, title=""):
        return [RankResponse(-np.arange(len(request.candidates))) for request in requests]

    def generate(self, requests, title=""):
        return [f"{request.sample} at {request.temperature}" for request in requests]


def answered(model, *items, n=3, client=None):
    return own_answers(client or FirstLetterClient(), model, items, n, 0.7, 0)


def test_a_model_that_takes_the_first_letter_disagrees_with_itself(tiny_model):
    found = answered(tiny_model, item("a", LISTED, ("A", "B", "C"), "A"))
    (own,) = found.items
    assert found.n_reordered == 1 and (own.output, own.correct) == ("A", 1.0)
    assert len(own.samples) == 3 and set(own.samples) & {"B", "C"}


def test_choices_that_are_not_listed_are_drawn_by_their_probability(tiny_model):
    found = answered(tiny_model, item("a", PLAIN, ("yes", "no"), "no"), n=400)
    (own,) = found.items
    assert found.n_reordered == 0 and (own.output, own.correct) == ("yes", 0.0)
    expected = 1 / (1 + np.exp(-1 / 0.7))
    assert own.samples.count("yes") / 400 == pytest.approx(expected, abs=0.06)


def test_written_answers_are_drawn_after_the_most_probable_one(tiny_model, monkeypatch):
    monkeypatch.setattr(asking, "MAX_NEW_TOKENS", 8)
    (own,) = answered(tiny_model, item("a", PLAIN)).items
    assert (own.output, own.samples) == ("0 at 0.0", ("1 at 0.7", "2 at 0.7", "3 at 0.7"))
    assert own.correct == 0.0  # as logged: the log has no right answer


def test_the_model_itself_draws_the_same_again_and_keeps_it(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(asking, "MAX_NEW_TOKENS", 8)
    items = [item("a", PLAIN), item("b", "The sea is old."), item("c", LISTED, ("A", "B", "C"))]
    journal = tmp_path / "answers.jsonl"
    first = answered(tiny_model, *items, client=ModelClient(tiny_model, journal)).items
    assert first == answered(tiny_model, *items, client=ModelClient(tiny_model)).items
    size = journal.stat().st_size
    assert first == answered(tiny_model, *items, client=ModelClient(tiny_model, journal)).items
    assert journal.stat().st_size == size
    assert len({first[0].output, *first[0].samples}) > 2


def test_prompts_are_asked_once_and_those_without_room_have_no_samples(tiny_model):
    same = replace(item("a", PLAIN, ("yes", "no")), samples=("logged",))
    long = item("long", "sea " * 500, ("yes", "no"))
    found = answered(tiny_model, same, replace(same, id="b"), long).items
    assert [each.id for each in found] == ["a", "long"]
    assert "logged" not in found[0].samples and found[1].samples == ()


def test_running_text_cannot_be_asked():
    text = EvaluatedItem("a", "running text", "x", 0.0, "a")
    assert "--as-chat" in refusal(check_askable, [text])
