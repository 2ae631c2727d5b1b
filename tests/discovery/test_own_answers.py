"""The model's own answers: orders of listed choices, else draws; what they mean is told apart."""

from dataclasses import replace

import numpy as np
import pytest

from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import as_prompt
from saetask.discovery import asking
from saetask.discovery.config import DiscoveryConfig
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


def answered(model, *items, n=3, client=None, vary="order"):
    config = DiscoveryConfig(by="disagreement", samples=n, temperature=0.7, vary=vary)
    return own_answers(client or FirstLetterClient(), model, items, config)


def test_a_model_that_takes_the_first_letter_disagrees_with_itself(tiny_model):
    found = answered(tiny_model, item("a", LISTED, ("A", "B", "C"), "A"))
    (own,) = found.items
    assert (own.output, own.correct) == ("A", 1.0)
    assert len(own.samples) == 3 and set(own.samples) & {"B", "C"}
    (change,) = found.changes
    n_others = sum(letter != "A" for letter in own.samples)
    assert change == ("choices in another order", 3, n_others)
    assert len(found.drawn["a"]) == 3  # the control: as many, to the prompt as it is


def test_choices_that_are_not_listed_are_drawn_by_their_probability(tiny_model):
    found = answered(tiny_model, item("a", PLAIN, ("yes", "no"), "no"), n=400)
    (own,) = found.items
    assert (found.changes, found.drawn) == ([], {})
    assert (own.output, own.correct) == ("yes", 0.0)
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


class WordingClient(FirstLetterClient):
    """Says no to prompts that thank it, and writes how long the prompt is."""

    def rank(self, requests, title=""):
        return [
            RankResponse(np.array([0.0, "Thank you" in request.prompt.content]))
            for request in requests
        ]

    def generate(self, requests, title=""):
        return [f"{len(r.prompt.content)} at {r.temperature}" for r in requests]


def test_a_rewrite_that_changes_the_answer_is_told_by_name(tiny_model):
    found = answered(
        tiny_model, item("a", PLAIN, ("yes", "no")), n=9, client=WordingClient(), vary="wording"
    )
    changes = {change.change: (change.n, change.n_changed) for change in found.changes}
    assert changes.pop("thanks at the end") == (1, 1)
    assert changes and set(changes.values()) == {(1, 0)}
    (own,) = found.items
    assert own.samples.count("no") == 1 and len(own.samples) == len(changes) + 1
    assert len(found.drawn["a"]) == len(own.samples)


def test_other_words_are_answered_by_the_most_probable_text_and_draws_are_a_control(
    tiny_model, monkeypatch
):
    monkeypatch.setattr(asking, "MAX_NEW_TOKENS", 8)
    found = answered(tiny_model, item("a", PLAIN), n=2, client=WordingClient(), vary="wording")
    (own,) = found.items
    assert own.output == f"{len(PLAIN)} at 0.0"
    assert all(text.endswith("at 0.0") and text != own.output for text in own.samples)
    assert found.drawn["a"] == (f"{len(PLAIN)} at 0.7",) * 2


def test_a_paraphrase_without_room_is_left_out(tiny_model):
    worded = replace(item("a", PLAIN, ("yes", "no")), paraphrases=("sea " * 500, "Is tea drunk?"))
    found = answered(tiny_model, worded, n=2, client=WordingClient(), vary="wording")
    assert [change.change for change in found.changes] == ["given in the log"]
    assert len(found.items[0].samples) == 1
