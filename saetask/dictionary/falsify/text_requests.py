"""Requests to a language model to write texts: sent once each, usable answers recorded."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from saetask.dictionary.falsify.document import WriterFigures
from saetask.inference.endpoint import WORKERS, Answer, Endpoint, EndpointError, ask_once
from saetask.utils.journal import Journal
from saetask.utils.parallel import map_ordered
from saetask.utils.progress import counted

WRITER_JOURNAL = "writer.jsonl"
MAX_CHARACTERS = 2000
"""Maximum length of a generated text."""
SYSTEM = "You write short texts, as exactly as asked. Answer with a JSON object and nothing else."


@dataclass(frozen=True)
class Writer:
    """A language model that writes texts."""

    endpoint: Endpoint
    workers: int = WORKERS
    """Number of requests at a time."""


class TextRequest(NamedTuple):
    """A request for one or more texts."""

    prompt: str
    read: Callable[[str], list[str]]
    """Returns the texts in an answer; raises `EndpointError` where it is not as requested."""


def generate_texts(
    writer: Writer, requests: Iterable[TextRequest], work: Path
) -> dict[str, Answer]:
    """Sends requests to the writer, equal ones once.

    Args:
        writer: The writer.
        requests: The requests.
        work: Folder in which usable answers are recorded as they arrive; recorded requests are
            not sent again.

    Returns:
        The answer to each prompt.

    Raises:
        UserError: The writer can not be reached; earlier answers are kept.
    """
    by_prompt = {request.prompt: request for request in requests}
    send = partial(_send, writer.endpoint, Journal(work / WRITER_JOURNAL))
    asked = counted(by_prompt.values(), len(by_prompt), "writer", "request")
    answers = list(map_ordered(send, asked, writer.workers))
    return dict(zip(by_prompt, answers))


def _send(endpoint: Endpoint, journal: Journal, request: TextRequest) -> Answer:
    roles = (("system", SYSTEM), ("user", request.prompt))
    messages = [{"role": role, "content": content} for role, content in roles]
    return ask_once(endpoint, journal, messages, request.read)


def check_text(value: object) -> str:
    """Returns a text of an answer, without surrounding blanks.

    Raises:
        EndpointError: The value is not a text, or an empty or very long one.
    """
    if not isinstance(value, str) or not 0 < len(value.strip()) <= MAX_CHARACTERS:
        raise EndpointError(f"no short text: {str(value)[:60]!r}")
    return value.strip()


def writer_figures(writer: Writer, answers: Mapping[str, Answer]) -> WriterFigures:
    """Returns the number of requests and what they cost."""
    return WriterFigures(
        model=writer.endpoint.model,
        questions=len(answers),
        failed=sum(answer.content is None for answer in answers.values()),
        prompt_tokens=sum(answer.prompt_tokens for answer in answers.values()),
        completion_tokens=sum(answer.completion_tokens for answer in answers.values()),
    )
