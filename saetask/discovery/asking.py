"""Prompts of a log, asked again: candidates ranked, or an answer written, and how it is judged."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from saetask.data.answer_matching import matches_target
from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import Prompt
from saetask.inference.client import ModelClient
from saetask.inference.ranking import likeliest
from saetask.inference.requests import GenerateRequest, RankRequest

MAX_NEW_TOKENS = 200
"""Room for an answer that is written freely, in tokens."""


class AskedPrompt(NamedTuple):
    """An item, and its prompt as it is asked."""

    item: EvaluatedItem
    prompt: Prompt


def ask(client: ModelClient, asked: Sequence[AskedPrompt], title: str) -> list[str]:
    """Returns the answer to each prompt: the likeliest choice, or a text where there are none.

    Args:
        client: The model.
        asked: The prompts.
        title: What the stage is called in the progress.
    """
    answers = [""] * len(asked)
    ranked = [i for i, each in enumerate(asked) if each.item.choices]
    requests = [
        RankRequest(asked[i].prompt, asked[i].item.choices, asked[i].item.id) for i in ranked
    ]
    for i, response in zip(ranked, client.rank(requests, title)):
        item = asked[i].item
        answers[i] = item.choices[likeliest(response.scores, item.choices, item.id)]
    written = [i for i, each in enumerate(asked) if not each.item.choices]
    outputs = client.generate(
        [GenerateRequest(asked[i].prompt, MAX_NEW_TOKENS, asked[i].item.id) for i in written], title
    )
    for i, output in zip(written, outputs):
        answers[i] = output
    return answers


def ask_right(client: ModelClient, asked: Sequence[AskedPrompt], title: str) -> np.ndarray:
    """Returns whether each prompt is answered rightly, `[n]`, bool; see `ask`."""
    answers = ask(client, asked, title)
    judged = [is_right(each.item, answer) for each, answer in zip(asked, answers)]
    return np.array(judged, dtype=bool)


def is_right(item: EvaluatedItem, answer: str) -> bool:
    """Returns whether an answer is the right one to an item that has a target."""
    target = (item.target or "").strip()
    return answer.strip() == target if item.choices else matches_target(answer, target)
