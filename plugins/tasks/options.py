"""Which of several options an output states, and whether that is the right one.

What is read as which option stands in `docs/answers.md`, whose tables are the test.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from saetask.data import Score, without_reasoning

WORD = r"[^\W_]"
"""A character of a word; underscores are Markdown's emphasis."""
_DENIED = re.compile(
    rf"(?:(?<!{WORD})(?:not|cannot|never|neither|nor|no\s+longer|rather\s+than|instead\s+of|non[-‐])"
    r"|n['’]t)"
    r"(?:[*_]*\s+(?:be|mean|in|an?|the|any|used|exactly|quite|really|entirely|completely|at\s+all"
    r"|that)\b)*"
    r"[\s\"'“‘*_(]*$",
    re.IGNORECASE,
)
"""Words in front of an option that deny it."""
_OF_BOTH = re.compile(r"\b(?:neither|both)(?:\s+the)?\s+$", re.IGNORECASE)
"""Words in front of the first of two options that say the same of both."""


def checked_index(index: int, length: int) -> int:
    """Returns the index of an option once their number is checked; for a validator.

    Raises:
        ValueError: There is no such option.
    """
    if not 0 <= index < length:
        raise ValueError(f"expected a whole number from 0 to {length - 1}, found {index}")
    return index


def equal_options(options: Sequence[str]) -> tuple[str, str] | None:
    """Returns the first two options that look the same, whatever their blanks and Unicode form."""
    seen: dict[str, str] = {}
    for option in options:
        shown = " ".join(unicodedata.normalize("NFC", option).split())
        if shown in seen:
            return seen[shown], option
        seen[shown] = option
    return None


def option_score(output: str, options: Mapping[Any, str], right: Any) -> Score:
    """Scores an output by the option whose text it states, whatever the case.

    An output that is an option states it. In a longer one the first to occur counts, as whole
    words that are not denied, and the longest where several begin together.

    Args:
        output: What the model answered.
        options: The text of each option, by name.
        right: The right one's name.
    """
    stated = without_reasoning(output).strip().lower()
    texts = {name: option.strip().lower() for name, option in options.items()}
    found = [name for name, text in texts.items() if text == stated]
    if not found:
        places = {n: _place(text.rstrip(".!?") or text, stated) for n, text in texts.items()}
        found = sorted(
            (name for name, place in places.items() if place is not None),
            key=lambda name: (places[name], -len(texts[name])),
        )
    if not found:
        return Score(None, False)
    return Score(options[found[0]], found[0] == right)


def _place(text: str, output: str) -> int | None:
    """Returns where an output first states a text; None if it does not."""
    pattern = rf"(?<!{WORD})(?<!\w[-‐'’]){re.escape(text)}(?!_*{WORD}|[-‐'’]\w)"
    places = (found.start() for found in re.finditer(pattern, output))
    return next((place for place in places if not _DENIED.search(output, 0, place)), None)


def first_of_two(output: str, words: Mapping[str, str]) -> str | None:
    """Returns which of two opposites an output states first, whatever the case.

    A word that is denied states its opposite; `neither` or `both` in front of it states none.

    Args:
        output: What the model answered.
        words: By name, a pattern of the words that state it; whole words count.
    """
    output = without_reasoning(output)
    one, other = words
    opposite = {one: other, other: one}
    pattern = "|".join(rf"(?P<{name}>{word})" for name, word in words.items())
    found = re.search(rf"(?<!{WORD})(?:{pattern})(?!_*{WORD}|-\w)", output, re.IGNORECASE)
    if found is None or _OF_BOTH.search(output, 0, found.start()):
        return None
    name = one if found[one] else other
    return opposite[name] if _DENIED.search(output, 0, found.start()) else name
