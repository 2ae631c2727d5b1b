"""Prompts that list their choices, with the choices in another order."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from saetask.data.prompts import Prompt, Span

_BETWEEN = re.compile(
    r"[\s,;/|\"'“”‘’()\[\].:*•?-]*(?:or|and)?[\s\"'“‘(]*(?:\(?[A-Za-z0-9][.):]\s*)?"
)
"""What may stand between two choices of a list: signs, `or`, `and`, and the letter of the next."""
_LABEL = re.compile(r"[A-Z]|\d")
MOST_DRAWS = 20
"""Draws of an order for each that is wanted; prompts of few choices have few orders."""


class ReorderedPrompt(NamedTuple):
    """A prompt with its choices in another order."""

    prompt: Prompt
    meant: tuple[str, ...]
    """Which of the original choices each choice of the item stands for in this prompt."""


def listed_choices(content: str, choices: Sequence[str]) -> list[Span] | None:
    """Returns where the choices stand in a prompt that lists them; None in one that does not.

    Choices that are letters or figures stand for the rest of a line that begins with them, such as
    `B. tea`; the last such lines count. Others must occur once each, in a list.

    Args:
        content: The prompt's text.
        choices: The answers to choose from.
    """
    texts = [choice.strip() for choice in choices]
    if len(set(texts)) < max(2, len(texts)):
        return None
    if all(_LABEL.fullmatch(text) for text in texts):
        return _labelled(content, texts)
    return _in_a_list(content, texts)


def _labelled(content: str, labels: Sequence[str]) -> list[Span] | None:
    """Returns the ranges after labels, each at the beginning of a line, the labels in order."""
    lines = list(
        re.finditer(r"^[ \t]*\(?([A-Z]|\d)[.):][ \t]+(\S.*?)[ \t]*$", content, re.MULTILINE)
    )
    last = lines[-len(labels) :]
    if [line[1] for line in last] != list(labels):
        return None
    return [Span(*line.span(2)) for line in last]


def _in_a_list(content: str, texts: Sequence[str]) -> list[Span] | None:
    spans = []
    for text in texts:
        found = list(re.finditer(rf"(?<!\w){re.escape(text)}(?!\w)", content))
        if len(found) != 1:
            return None
        spans.append(Span(*found[0].span()))
    ordered = sorted(spans, key=lambda span: span.start)
    between = [content[a.end : b.start] for a, b in pairwise(ordered) if a.end <= b.start]
    is_list = len(between) == len(spans) - 1 and all(map(_BETWEEN.fullmatch, between))
    return spans if is_list else None


def other_orders(
    prompt: Prompt, choices: Sequence[str], n: int, seed: int
) -> list[ReorderedPrompt]:
    """Returns a prompt with its choices in other orders, each another one; none if it lists none.

    Args:
        prompt: The prompt.
        choices: The answers to choose from.
        n: Maximum number of orders.
        seed: Seed of their draw.
    """
    spans = listed_choices(prompt.content, choices)
    if spans is None:
        return []
    generator = np.random.default_rng(seed)
    drawn = (tuple(generator.permutation(len(spans)).tolist()) for _ in range(MOST_DRAWS * n))
    orders = [order for order in dict.fromkeys(drawn) if order != (*range(len(spans)),)][:n]
    own: list[str] = list(choices)
    is_labelled = all(_LABEL.fullmatch(choice.strip()) for choice in choices)
    return [
        ReorderedPrompt(
            _reordered(prompt, spans, order),
            tuple(own[i] for i in order) if is_labelled else tuple(own),
        )
        for order in orders
    ]


def _reordered(prompt: Prompt, spans: Sequence[Span], order: Sequence[int]) -> Prompt:
    """Returns a prompt in which the text of each place is that of another one."""
    content = prompt.content
    texts = [content[spans[i].start : spans[i].end] for i in order]
    for span, text in sorted(zip(spans, texts), key=lambda pair: -pair[0].start):
        content = content[: span.start] + text + content[span.end :]
    return replace(prompt.with_content(content), spans={})
