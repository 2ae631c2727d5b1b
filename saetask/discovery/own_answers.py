"""Several answers of the model itself to each prompt, for logs that hold one or none.

A prompt that lists its choices is asked with the choices in other orders; to any other, further
answers are drawn at a temperature.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import Prompt
from saetask.discovery import asking
from saetask.discovery.asking import is_right
from saetask.discovery.choice_orders import other_orders
from saetask.discovery.failures import check_items, merge_samples
from saetask.errors import UserError
from saetask.inference.client import ModelClient
from saetask.inference.ranking import likeliest
from saetask.inference.requests import GenerateRequest, RankRequest, tokenise
from saetask.utils.files import content_hash

if TYPE_CHECKING:
    from jaxtyping import Float64

    from saetask.models.loading import Model

STAGE = "the model's own answers"


class OwnAnswers(NamedTuple):
    """The items of a log with answers of the model that was asked."""

    items: list[EvaluatedItem]
    """One for each prompt: `output` is the model's answer, `samples` the further ones, and
    `correct` tells whether `output` is right where the log has the right answer. Those without room
    for an answer are as they were, with no samples."""
    n_reordered: int
    """Number of prompts that were asked with their choices in other orders."""


def check_askable(items: Sequence[EvaluatedItem]) -> None:
    """Checks that the prompts of a log can be asked.

    Raises:
        UserError: There are none, two share an id, or one is running text.
    """
    check_items(items)
    if any(isinstance(item.prompt, str) for item in items):
        raise UserError(
            "--samples asks prompts as chats, and the log's are running text; give a log with "
            "messages (of inspect_ai, or a column of chats), or --as-chat."
        )


def own_answers(
    client: ModelClient,
    model: "Model",
    items: Sequence[EvaluatedItem],
    n_samples: int,
    temperature: float,
    seed: int,
) -> OwnAnswers:
    """Has the model answer each prompt of a log, and `n_samples` times more.

    Args:
        client: Asks the model.
        model: The model.
        items: The items; see `check_askable`.
        n_samples: Number of further answers; prompts with two choices have one other order only.
        temperature: Of the answers that are drawn.
        seed: Seed of orders and draws.
    """
    items = merge_samples(items)
    fitting = [i for i, item in enumerate(items) if _fits(model, item)]
    chosen = [i for i in fitting if items[i].choices]
    written = [i for i in fitting if not items[i].choices]
    ranked = _ranked(client, [items[i] for i in chosen], n_samples, temperature, seed)
    texts = _written(client, [items[i] for i in written], n_samples, temperature)
    answers = dict(zip((*chosen, *written), (*(each.answers for each in ranked), *texts)))
    answered = [
        _with_answers(item, answers[i]) if i in answers else replace(item, samples=())
        for i, item in enumerate(items)
    ]
    return OwnAnswers(answered, sum(each.is_reordered for each in ranked))


def _with_answers(item: EvaluatedItem, answers: Sequence[str]) -> EvaluatedItem:
    first, *further = answers
    correct = item.correct if item.target is None else float(is_right(item, first))
    return replace(item, output=first, samples=tuple(further), correct=correct)


def _fits(model: "Model", item: EvaluatedItem) -> bool:
    """Returns whether a prompt and its answer have room in the model's context."""
    if item.choices:
        request = RankRequest(_prompt(item), item.choices, item.id)
    else:
        request = GenerateRequest(_prompt(item), asking.MAX_NEW_TOKENS, item.id)
    try:
        tokenise(model, request)
    except UserError:
        return False
    return True


def _prompt(item: EvaluatedItem) -> Prompt:
    assert isinstance(item.prompt, Prompt)  # see `check_askable`
    return item.prompt


class _Ranked(NamedTuple):
    answers: list[str]
    """The first one to the prompt as it is."""
    is_reordered: bool


def _ranked(
    client: ModelClient,
    items: Sequence[EvaluatedItem],
    n_samples: int,
    temperature: float,
    seed: int,
) -> list[_Ranked]:
    """Returns the choices that the model makes: in several orders, or else drawn."""
    seeds = [int(content_hash([item.id, seed])[:15], 16) for item in items]
    orders = [
        other_orders(_prompt(item), item.choices, n_samples, own) for item, own in zip(items, seeds)
    ]
    requests = [
        RankRequest(prompt, item.choices, item.id)
        for item, others in zip(items, orders)
        for prompt in (_prompt(item), *(other.prompt for other in others))
    ]
    responses = iter(client.rank(requests, STAGE))
    found = []
    for item, others, own in zip(items, orders, seeds):
        scores = next(responses).scores
        answers = [item.choices[likeliest(scores, item.choices, item.id)]]
        for other in others:
            best = likeliest(next(responses).scores, item.choices, item.id)
            answers.append(other.meant[best])
        if not others:
            places = np.random.default_rng(own).choice(
                len(scores), n_samples, p=_probabilities(scores / temperature)
            )
            answers += [item.choices[place] for place in places.tolist()]
        found.append(_Ranked(answers, bool(others)))
    return found


def _probabilities(log_odds: "Float64[np.ndarray, ' n']") -> "Float64[np.ndarray, ' n']":
    weights = np.exp(log_odds - log_odds.max())
    return weights / weights.sum()


def _written(
    client: ModelClient, items: Sequence[EvaluatedItem], n_samples: int, temperature: float
) -> list[list[str]]:
    """Returns the texts that the model writes: the most probable one, and samples."""
    requests = [
        GenerateRequest(_prompt(item), asking.MAX_NEW_TOKENS, item.id, heat, sample)
        for item in items
        for sample, heat in ((0, 0.0), *((n + 1, temperature) for n in range(n_samples)))
    ]
    texts, n = client.generate(requests, STAGE), 1 + n_samples
    return [texts[start : start + n] for start in range(0, len(texts), n)]
