"""A language model that writes texts to try features on: how it is asked, and what is kept."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from saetask.inference.endpoint import WORKERS, Answer, Endpoint, EndpointError, ask_once
from saetask.utils.journal import Journal
from saetask.utils.parallel import map_ordered

WRITER_JOURNAL = "writer.jsonl"
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
    ask = partial(_ask, writer.endpoint, Journal(work / WRITER_JOURNAL))
    answers = list(map_ordered(ask, tqdm(wanted.values(), desc="writer"), writer.workers))
    return dict(zip(wanted, answers))


def _ask(endpoint: Endpoint, journal: Journal, question: Question) -> Answer:
    roles = (("system", SYSTEM), ("user", question.prompt))
    messages = [{"role": role, "content": content} for role, content in roles]
    return ask_once(endpoint, journal, messages, question.read)


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
        "failed": sum(answer.content is None for answer in answers.values()),
        "prompt_tokens": sum(answer.prompt_tokens for answer in answers.values()),
        "completion_tokens": sum(answer.completion_tokens for answer in answers.values()),
    }
