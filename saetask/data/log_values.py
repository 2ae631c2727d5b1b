"""Values in evaluation logs: prompts and scores, whatever way they are written."""

import json
from collections.abc import Mapping
from typing import Any

from saetask.data.chats import text_or_chat
from saetask.data.prompts import Prompt, Span, as_prompt
from saetask.errors import UserError

SCORE_WORDS: Mapping[str, float] = {
    **dict.fromkeys(("true", "yes", "correct", "right", "c"), 1.0),
    **dict.fromkeys(("false", "no", "incorrect", "wrong", "i", "n"), 0.0),
    "p": 0.5,
}
"""Scores that are written in words, in lower case; C, I, P and N are those of inspect_ai: correct,
incorrect, partly correct, no answer."""


def as_score(value: Any, place: str) -> float | None:
    """Returns a score from 0 (wrong) to 1 (right); None where there is none.

    Args:
        value: A number, true or false, a text that says one of these, or null or blank.
        place: Where it stands, for messages.

    Raises:
        UserError: It is no score, or not from 0 to 1. Nothing is scaled: the scale is not known.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    score = _number(value)
    if score is None:
        raise UserError(
            f"{place}: {value!r:.60} is no score; it must be a number from 0 (wrong) to 1 (right), "
            "true or false."
        )
    if not 0 <= score <= 1:
        raise UserError(
            f"{place}: the score is {value!r:.60}, but it must be from 0 (wrong) to 1 (right); "
            "scale it, or name another."
        )
    return score


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        word = value.strip().lower()
        if word in SCORE_WORDS:
            return SCORE_WORDS[word]
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def as_logged_prompt(value: Any, place: str, as_chat: bool = False) -> Prompt | str:
    """Returns a prompt as a model got it: a chat, or a text.

    Args:
        value: A text, a list of messages, or such a list written as JSON. An assistant's message at
            the end is taken as the beginning of the answer.
        place: Where it stands, for messages.
        as_chat: Return a text as a chat, the user's only message.

    Raises:
        UserError: It is something else, or a chat without a user's message at its end.
    """
    if isinstance(value, str):
        value = _json_chat(value)
    found = text_or_chat(value, place)
    if found is None:
        raise UserError(f"{place}: there is no prompt, or a message without a text.")
    if isinstance(found, str):
        return as_prompt(found) if as_chat else found
    prefix = found.pop()["content"] if found[-1]["role"] == "assistant" else ""
    if not found or found[-1]["role"] != "user":
        raise UserError(f"{place}: the chat does not end with a message of the user.")
    return Prompt(found, prefix, spans={"text": Span(0, len(found[-1]["content"]))})


def _json_chat(text: str) -> Any:
    """Returns the messages that a text is the JSON of; any other text as it is."""
    if not text.lstrip().startswith("[{"):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    is_chat = all(isinstance(m, dict) and {"role", "content"} <= m.keys() for m in value)
    return value if is_chat else text
