"""The last sentence of `saetask steer`: what the edit did, beside random pushes."""

import pytest

from saetask.session.steering import PromptAnswers, SteeredPrompt
from saetask.session.steering_conclusion import steering_conclusion


def answers(warm: float, cold: float, text: str = "warm") -> PromptAnswers:
    return PromptAnswers(text, {" warm": warm, " cold": cold})


def told(after: PromptAnswers, *random: PromptAnswers, norm: float = 0.2) -> str:
    pushes = list(random) or [answers(-1.1, -3.0), answers(-1.0, -2.9)]
    return steering_conclusion(SteeredPrompt(answers(-1.0, -3.0), after, pushes, norm))


def test_a_changed_answer_is_named_with_the_change_of_its_lead_and_of_random_pushes() -> None:
    sentence = told(answers(-3.0, -1.5))
    assert "changes from “warm” to “cold”: the lead of “warm” changes by −3.50 nats" in sentence
    assert (
        "more, in size, than along random directions of the same norm (−0.10 to −0.10; 0 of 2"
        in sentence
    )


def test_an_answer_that_stays_is_told_with_a_change_no_larger_than_at_random() -> None:
    sentence = told(answers(-1.0, -2.9), answers(-3.0, -1.0), answers(-1.0, -3.0))
    assert "The answer stays “warm”: its lead changes by −0.10 nats, no more, in size," in sentence
    assert "(−4.00 to +0.00; 1 of 2 change the answer)" in sentence


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_lead_is_that_over_the_best_other_candidate(scale) -> None:
    before = PromptAnswers("a", {" a": -1.0, " b": -5.0, " c": -2.0})
    after = PromptAnswers("a", {" a": -1.0, " b": -1.0 - scale, " c": -9.0})
    sentence = steering_conclusion(SteeredPrompt(before, after, [before], 0.1))
    assert f"by {scale - 1:+.2f} nats".replace("-", "−") in sentence


def test_without_candidates_the_texts_are_compared() -> None:
    plain, other = PromptAnswers("one", {}), PromptAnswers("two", {})
    for after, verb in ((other, "changes"), (plain, "stays the same")):
        found = SteeredPrompt(plain, after, [plain, other, other], 0.1)
        assert steering_conclusion(found).startswith(f"The text {verb}; 2 of 3 random")


def test_an_edit_that_reaches_nothing_is_said_to_change_nothing() -> None:
    assert "no token of this prompt" in told(answers(-1.0, -3.0), norm=0.0)
