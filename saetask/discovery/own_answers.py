"""Several answers of the model itself to each prompt, for logs that hold one or none.

Each prompt is asked in other forms: with its choices in other orders, or in other words. Where it
has no other form, further answers to it are drawn at a temperature.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.data.answer_matching import final_answer
from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import Prompt
from saetask.discovery import asking
from saetask.discovery.asking import is_right
from saetask.discovery.config import DiscoveryConfig
from saetask.discovery.failures import check_items, merge_samples
from saetask.discovery.forms import Form, other_forms
from saetask.errors import UserError
from saetask.inference.client import ModelClient
from saetask.inference.ranking import likeliest
from saetask.inference.requests import GenerateRequest, RankRequest, tokenise
from saetask.utils.files import content_hash

if TYPE_CHECKING:
    from jaxtyping import Float64

    from saetask.models.loading import Model

STAGE = "the model's own answers"


class ChangedAnswers(NamedTuple):
    """How many prompts got another answer when they were asked in another form."""

    change: str
    """What was changed in them; see `Form`."""
    n: int
    """Number of prompts."""
    n_changed: int
    """Number of those with another answer."""


class OwnAnswers(NamedTuple):
    """The items of a log with answers of the model that was asked."""

    items: list[EvaluatedItem]
    """One for each prompt: `output` is the model's answer, `samples` the further ones, and
    `correct` tells whether `output` is right where the log has the right answer. Those without room
    for an answer are as they were, with no samples."""
    changes: list[ChangedAnswers]
    """By what was changed, of the prompts that were asked in other forms."""
    drawn: dict[str, tuple[str, ...]]
    """By id of an item that was asked in other forms, as many answers drawn to its own form."""


class _Asked(NamedTuple):
    """An item with the other forms that have room for an answer."""

    item: EvaluatedItem
    prompt: Prompt
    forms: list[Form]
    seed: int


class _Answers(NamedTuple):
    first: str
    """To the prompt as it is."""
    others: list[str]
    """To its other forms."""
    drawn: list[str]
    """To the prompt as it is, as many as were asked for."""


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
    config: DiscoveryConfig,
) -> OwnAnswers:
    """Has the model answer each prompt of a log, and `config.samples` times more.

    A prompt with fewer forms than that is asked in those that it has: two choices have one other
    order.

    Args:
        client: Asks the model.
        model: The model.
        items: The items; see `check_askable`.
        config: How many answers, in which forms, at which temperature, and the seed.
    """
    items = merge_samples(items)
    asked = [each for item in items if (each := _asked(model, item, config)) is not None]
    chosen = [each for each in asked if each.item.choices]
    written = [each for each in asked if not each.item.choices]
    found = {
        each.item.id: (each, answers)
        for each, answers in (
            *zip(chosen, _ranked(client, chosen, config)),
            *zip(written, _written(client, written, config)),
        )
    }
    answered = [
        _with_answers(item, found[item.id][1]) if item.id in found else replace(item, samples=())
        for item in items
    ]
    drawn = {
        name: tuple(answers.drawn[: len(each.forms)])
        for name, (each, answers) in found.items()
        if each.forms
    }
    return OwnAnswers(answered, _changes([*found.values()]), drawn)


def _asked(model: "Model", item: EvaluatedItem, config: DiscoveryConfig) -> _Asked | None:
    """Returns an item with its other forms; None if it has no room for an answer."""
    assert isinstance(item.prompt, Prompt)  # see `check_askable`
    if not _fits(model, item, item.prompt):
        return None
    seed = int(content_hash([item.id, config.seed])[:15], 16)
    forms = other_forms(item, config.vary, config.samples, seed)
    fitting = [form for form in forms if _fits(model, item, form.prompt)]
    return _Asked(item, item.prompt, fitting, seed)


def _fits(model: "Model", item: EvaluatedItem, prompt: Prompt) -> bool:
    """Returns whether a prompt and its answer have room in the model's context."""
    if item.choices:
        request = RankRequest(prompt, item.choices, item.id)
    else:
        request = GenerateRequest(prompt, asking.MAX_NEW_TOKENS, item.id)
    try:
        tokenise(model, request)
    except UserError:
        return False
    return True


def _with_answers(item: EvaluatedItem, answers: _Answers) -> EvaluatedItem:
    correct = item.correct if item.target is None else float(is_right(item, answers.first))
    further = answers.others or answers.drawn
    return replace(item, output=answers.first, samples=tuple(further), correct=correct)


def _changes(found: Sequence[tuple[_Asked, _Answers]]) -> list[ChangedAnswers]:
    n, n_changed = Counter[str](), Counter[str]()
    for each, answers in found:
        for form, other in zip(each.forms, answers.others):
            n[form.change] += 1
            n_changed[form.change] += final_answer(other) != final_answer(answers.first)
    return [ChangedAnswers(change, n[change], n_changed[change]) for change in sorted(n)]


def _ranked(
    client: ModelClient, asked: Sequence[_Asked], config: DiscoveryConfig
) -> Iterator[_Answers]:
    """Yields the choices that the model makes: in each form, and drawn by its probabilities."""
    requests = [
        RankRequest(prompt, each.item.choices, each.item.id)
        for each in asked
        for prompt in (each.prompt, *(form.prompt for form in each.forms))
    ]
    responses = iter(client.rank(requests, STAGE))
    for each in asked:
        choices, scores = each.item.choices, next(responses).scores
        others = [
            form.meant[likeliest(next(responses).scores, choices, each.item.id)]
            for form in each.forms
        ]
        places = np.random.default_rng(each.seed).choice(
            len(scores), config.samples, p=_probabilities(scores / config.temperature)
        )
        first = choices[likeliest(scores, choices, each.item.id)]
        yield _Answers(first, others, [choices[place] for place in places.tolist()])


def _probabilities(log_odds: "Float64[np.ndarray, ' n']") -> "Float64[np.ndarray, ' n']":
    weights = np.exp(log_odds - log_odds.max())
    return weights / weights.sum()


def _written(
    client: ModelClient, asked: Sequence[_Asked], config: DiscoveryConfig
) -> Iterator[_Answers]:
    """Yields the texts that the model writes: the most probable one in each form, and samples."""
    length = asking.MAX_NEW_TOKENS
    requests = []
    for each in asked:
        prompts = [each.prompt, *(form.prompt for form in each.forms)]
        requests += [GenerateRequest(prompt, length, each.item.id) for prompt in prompts]
        requests += [
            GenerateRequest(each.prompt, length, each.item.id, config.temperature, number)
            for number in range(1, config.samples + 1)
        ]
    texts = iter(client.generate(requests, STAGE))
    for each in asked:
        first, *others = [next(texts) for _ in range(1 + len(each.forms))]
        yield _Answers(first, others, [next(texts) for _ in range(config.samples)])
