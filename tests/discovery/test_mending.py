"""Notes on discoveries: chosen on one half, tried on the other, beside notes that name nothing."""

import numpy as np
import pytest

from saetask.annotation.fixed_notes import GENERIC
from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import as_prompt
from saetask.discovery.mending import (
    FEWEST_PROMPTS,
    Slice,
    check_mendable,
    mend,
    note_templates,
)
from saetask.inference.client import RankResponse
from tests.helpers.refusals import refusal


class ListeningClient:
    """Answers rightly where a prompt contains a text, and keeps what it was asked."""

    def __init__(self, cure: str) -> None:
        self.cure, self.asked = cure, []

    def rank(self, requests, title=""):
        requests = list(requests)
        self.asked += [request.prompt.content for request in requests]
        return [
            RankResponse(np.array([0.0, 1.0 if self.cure in r.prompt.content else -1.0]))
            for r in requests
        ]

    def generate(self, requests, title=""):
        requests = list(requests)
        self.asked += [request.prompt.content for request in requests]
        return ["It is 7." if self.cure in r.prompt.content else "It is 8." for r in requests]


def slice_of(n: int, choices=("no", "yes"), target="yes") -> Slice:
    items = [
        EvaluatedItem(
            f"{i}", as_prompt(f"Text {i}."), "no", 0.0, f"{i}", target=target, choices=choices
        )
        for i in range(n)
    ]
    return Slice("on:loss", "loss", items, [["lost", "gave"]] * n, np.arange(n) % 2 == 1)


@pytest.mark.parametrize("choices", [("no", "yes"), ()])
def test_a_note_that_helps_is_found_and_told_from_its_controls(choices):
    found = slice_of(40, choices, "yes" if choices else "7")
    mending = mend(ListeningClient("mind what is said about loss"), found, "weather")
    assert mending is not None
    assert "mind what is said about loss" in mending.template
    assert (mending.n_chosen_on, mending.n) == (20, 20)
    accuracies = {name: arm.accuracy for name, arm in mending.arms.items()}
    assert accuracies == {
        "original": 0.0,
        "mended": 1.0,
        "placebo": 0.0,
        "generic": 0.0,
        "other-concept": 0.0,
    }
    assert mending.arms["mended"].against_original.fixed == 20
    assert mending.arms["generic"].mended_against.mcnemar_p < 1e-4


def test_a_note_that_helps_by_being_there_is_credited_to_its_controls_too():
    mending = mend(ListeningClient("(Note:"), slice_of(40), "weather")
    assert mending is not None
    assert {arm.accuracy for name, arm in mending.arms.items() if name != "original"} == {1.0}
    assert mending.arms["placebo"].mended_against.difference == 0


def test_notes_are_chosen_on_the_discovery_half_alone():
    client, found = ListeningClient("never"), slice_of(40)
    mend(client, found, "weather")
    n_trials = len(note_templates("loss")) * 20
    tried, confirmed = client.asked[:n_trials], client.asked[n_trials:]
    assert {int(text.split("Text ")[1].split(".")[0]) % 2 for text in tried} == {0}
    assert {int(text.split("Text ")[1].split(".")[0]) % 2 for text in confirmed} == {1}
    assert any(GENERIC.notes[0].text in text for text in confirmed)


def test_the_words_of_each_prompt_stand_in_its_note():
    client, found = ListeningClient("never"), slice_of(12)
    mend(client, found._replace(words=[[f"word{i}"] for i in range(12)]), "weather")
    assert any("Text 4." in text and "“word4” mean here" in text for text in client.asked)
    assert not any("{words}" in text for text in client.asked)


def test_too_few_prompts_give_nothing():
    assert mend(ListeningClient("x"), slice_of(2 * FEWEST_PROMPTS - 1), "weather") is None


def test_a_log_that_cannot_be_asked_again_is_refused():
    item = slice_of(1).items[0]
    text = EvaluatedItem("a", "running text", "x", 0.0, "a", target="y")
    assert "--as-chat" in refusal(lambda: check_mendable([item, text]))
    untold = EvaluatedItem("a", as_prompt("text"), "x", 0.0, "a")
    assert "no right answers" in refusal(lambda: check_mendable([untold]))
    check_mendable([item])
