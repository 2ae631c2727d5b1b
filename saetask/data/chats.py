"""Texts and chats as they stand in data files."""

from collections.abc import Mapping
from typing import Any

from saetask.errors import UserError

SHAREGPT_ROLES = {"human": "user", "gpt": "assistant"}
"""Roles of ShareGPT's chats that have another name in chat templates."""


def text_or_chat(value: Any, place: str) -> str | list[dict[str, str]] | None:
    """Returns a cell of a data file as a text, or as the messages of a chat.

    Args:
        value: A text, a list of messages (`role` and `content`, or ShareGPT's `from` and `value`),
            or None.
        place: Where it stands, for messages.

    Raises:
        UserError: It is something else.
    """
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list) or not all(isinstance(part, Mapping) for part in value):
        kind = type(value).__name__
        raise UserError(f"{place}: expected a text or a chat, found {kind} {value!r:.60}.")
    messages = [_message(part, f"{place}, message {i}") for i, part in enumerate(value, 1)]
    if any(message is None for message in messages):
        return None
    return [message for message in messages if message is not None] or None


def _message(value: Mapping[str, Any], place: str) -> dict[str, str] | None:
    """Returns a chat message; None where its content is null, as of a call of a tool."""
    keys = ("role", "content") if "role" in value else ("from", "value")
    if any(key not in value for key in keys):
        names = ", ".join(value) or "none"
        raise UserError(
            f"{place}: expected the keys role and content, or from and value; it has: {names}."
        )
    role, content = (value[key] for key in keys)
    if content is None or role is None:
        return None
    if not isinstance(role, str):
        raise UserError(f"{place}: its {keys[0]} is {role!r:.60}, which is no text.")
    return {"role": SHAREGPT_ROLES.get(role, role), "content": _content(content, place)}


def _content(content: Any, place: str) -> str:
    """Returns the text of a message, which may stand in several parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            raise UserError(f"{place}: its content is no text: {part!r:.60}.")
        texts.append(text)
    return "".join(texts)
