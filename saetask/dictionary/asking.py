"""Questions to a language model whose usable answers are kept, so that none is asked twice."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from saetask.dictionary.journal import Journal
from saetask.endpoint import Endpoint, EndpointError
from saetask.files import content_hash

WORKERS = 8
"""Questions at a time."""


class Answer(NamedTuple):
    """What a language model said to one question."""

    found: list[Any] | None
    """What was asked for; None where the answer could not be used, or there was none."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


def ask_once(
    endpoint: Endpoint,
    journal: Journal,
    messages: Sequence[Mapping[str, str]],
    read: Callable[[str], list[Any]],
) -> Answer:
    """Puts one question, unless it was answered before; a failed one is put again.

    Args:
        endpoint: Who is asked.
        journal: Where usable answers are kept.
        messages: The question.
        read: Reads what was asked for out of an answer's text; raises `EndpointError` where it is
            not there.

    Raises:
        UserError: The endpoint can not be reached.
    """
    key = content_hash([endpoint.model, endpoint.base_url, messages])
    if record := journal.get(key):
        return Answer(*(record[name] for name in Answer._fields))
    try:
        reply = endpoint.ask(messages)
    except EndpointError:
        return Answer(None)
    cost = (reply.prompt_tokens, reply.completion_tokens)
    try:
        answer = Answer(read(reply.text), *cost)
    except EndpointError:
        return Answer(None, *cost)
    journal.add(key, answer._asdict())
    return answer
