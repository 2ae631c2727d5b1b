"""A language model that writes texts to try features on: how it is asked, and what is kept."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from saetask.cache import content_hash
from saetask.dictionary.in_order import in_order
from saetask.dictionary.journal import Journal
from saetask.endpoint import Endpoint, EndpointError

WRITER_JOURNAL = "writer.jsonl"
WORKERS = 8
LONGEST = 2000
"""Characters of a written text at most."""
SYSTEM = "You write short texts, as exactly as asked. Answer with a JSON object and nothing else."


@dataclass(frozen=True)
class Writer:
    """Who writes."""

    endpoint: Endpoint
    workers: int = WORKERS
    """Questions at a time."""


class Question(NamedTuple):
    """Something to write."""

    prompt: str
    read: Callable[[str], list[str]]
    """Reads the texts out of an answer; raises `EndpointError` where it is not what was asked."""


class Answer(NamedTuple):
    """What was written."""

    texts: list[str] | None
    """None where the answer could not be used, or there was none."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


def ask_writer(writer: Writer, questions: Iterable[Question], work: Path) -> dict[str, Answer]:
    """Has texts written, each once however often it is asked for.

    Args:
        writer: Who is asked.
        questions: What to write.
        work: Folder in which usable answers are kept as they come; what is there is not asked
            again.

    Returns:
        The answer to each prompt.

    Raises:
        UserError: The writer can not be reached; what it answered is kept.
    """
    from tqdm import tqdm

    wanted = {question.prompt: question for question in questions}
    with Journal(work / WRITER_JOURNAL) as journal:
        ask = partial(_ask, writer.endpoint, journal)
        answers = list(in_order(ask, tqdm(wanted.values(), desc="writer"), writer.workers))
    return dict(zip(wanted, answers))


def _ask(endpoint: Endpoint, journal: Journal, question: Question) -> Answer:
    """Puts one question, unless it was answered before; a failed one is put again."""
    roles = (("system", SYSTEM), ("user", question.prompt))
    messages = [{"role": role, "content": content} for role, content in roles]
    key = content_hash([endpoint.model, endpoint.base_url, messages])
    if record := journal.get(key):
        return Answer(*(record[name] for name in Answer._fields))
    try:
        reply = endpoint.ask(messages)
    except EndpointError:
        return Answer(None)
    cost = (reply.prompt_tokens, reply.completion_tokens)
    try:
        answer = Answer(question.read(reply.text), *cost)
    except EndpointError:
        return Answer(None, *cost)
    journal.add(key, answer._asdict())
    return answer


def written_text(found: object) -> str:
    """Returns a text found in an answer.

    Raises:
        EndpointError: It is no text, an empty or a very long one.
    """
    if not isinstance(found, str) or not 0 < len(found.strip()) <= LONGEST:
        raise EndpointError(f"no short text: {str(found)[:60]!r}")
    return found.strip()


def writer_figures(writer: Writer, answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Returns who was asked how much, and what it cost."""
    return {
        "model": writer.endpoint.model,
        "questions": len(answers),
        "failed": sum(answer.texts is None for answer in answers.values()),
        "prompt_tokens": sum(answer.prompt_tokens for answer in answers.values()),
        "completion_tokens": sum(answer.completion_tokens for answer in answers.values()),
    }
