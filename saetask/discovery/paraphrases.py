"""Prompts in other words: rewrites of what surrounds the text, which leave its meaning alone.

No language model writes them, so none can change what is asked. What a user gives as paraphrases
(`EvaluatedItem.paraphrases`) comes before them.
"""

import re
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import Prompt

GIVEN = "given in the log"
"""What a paraphrase of the log itself is called."""


class Rewrite(NamedTuple):
    """A rule that rewrites a prompt's content, as a regular expression and its replacement."""

    name: str
    """What it does, in a few words."""
    pattern: re.Pattern[str]
    """It rewrites prompts in which this is found, everywhere in them."""
    replacement: str
    changes_lines: bool = False
    """Whether it changes more than the ends: not for prompts that hold code or markup."""
    least: int = 1
    """Minimum number of places at which the pattern must be found."""


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.MULTILINE)


_ORDER = (
    r"(?:Answer|Calculate|Choose|Classify|Complete|Decide|Explain|Find|Pick|Say|Select|Solve)\b"
)
_POINTER = r"\b(?:[Ff]ollowing|[Bb]elow|[Aa]bove|[Nn]ext|[Hh]ere|[Pp]revious|[Ff]irst line)\b"
_LETTERED = r"^[ \t]*\(?([A-H])[.):][ \t]+(?=\S)"

REWRITES: tuple[Rewrite, ...] = (
    Rewrite("a polite beginning", _rule(r"\A(?=\S)"), "Please reply to this.\n\n"),
    Rewrite("an announcement", _rule(r"\A(?=\S)"), "I need an answer to this:\n\n"),
    Rewrite("thanks at the end", _rule(r"(?<=[.?!”’\"')])\s*\Z"), "\n\nThank you."),
    Rewrite(
        "the question after the text",
        _rule(rf"\A(?![^\n]*{_POINTER})([^\n?]+\?)[ \t]*\n\s*([^?]*[^?:\s])\s*\Z"),
        r"\2\n\1",
        changes_lines=True,
    ),
    Rewrite(
        "the question before the text",
        _rule(rf"\A([^?]*[^?:\s])[ \t]*\n\s*(?![^\n]*{_POINTER})([^\n?]+\?)\s*\Z"),
        r"\2\n\1",
        changes_lines=True,
    ),
    Rewrite(
        "the instruction after the text",
        _rule(rf"\A(?![^\n]*{_POINTER})({_ORDER}[^\n?]*\.)[ \t]*\n\s*([\s\S]*[^:\s])\s*\Z"),
        r"\2\n\1",
        changes_lines=True,
    ),
    Rewrite("blank lines between lines", _rule(r"(?<=\S)\n(?=\S)"), "\n\n", changes_lines=True),
    Rewrite(
        "curly quotation marks",
        _rule(r"(?<!\S)\"([^\"\n]*[^\"\s])\"(?![\w\"])"),
        r"“\1”",
        changes_lines=True,
    ),
    Rewrite("letters in brackets", _rule(_LETTERED), r"(\1) ", changes_lines=True, least=2),
    Rewrite("letters with a colon", _rule(_LETTERED), r"\1: ", changes_lines=True, least=2),
)
"""All rewrites. Each is made by itself, so that what it changes can be told."""
_MARKUP = re.compile(r"```|[{}<>\\|]|;[ \t]*$|^(?: {4}|\t)", re.MULTILINE)
"""What only prompts with code, tables or markup hold, in which lines and quotes have a meaning."""


class Paraphrase(NamedTuple):
    """A prompt in other words."""

    prompt: Prompt
    rewrite: str
    """What was changed: the name of a rewrite, or `GIVEN`."""


def paraphrases(item: EvaluatedItem, n: int, seed: int) -> list[Paraphrase]:
    """Returns a chat in other words, each time in others: those of the log, then drawn rewrites.

    Args:
        item: An item whose prompt is a chat.
        n: Maximum number of paraphrases.
        seed: Seed of the draw.
    """
    prompt = item.prompt
    assert isinstance(prompt, Prompt)  # see `check_askable`
    order = np.random.default_rng(seed).permutation(len(REWRITES)).tolist()
    texts = [(text, GIVEN) for text in item.paraphrases]
    texts += [(rewritten(prompt.content, REWRITES[i]), REWRITES[i].name) for i in order]
    found: dict[str, str] = {}
    for text, name in texts:
        if text.strip() and text != prompt.content:
            found.setdefault(text, name)
    return [
        Paraphrase(replace(prompt.with_content(text), spans={}), name)
        for text, name in list(found.items())[:n]
    ]


def rewritten(content: str, rewrite: Rewrite) -> str:
    """Returns a content as a rule rewrites it; as it is where the rule is not for it."""
    if rewrite.changes_lines and _MARKUP.search(content):
        return content
    text, n_places = rewrite.pattern.subn(rewrite.replacement, content)
    return text if n_places >= rewrite.least else content
