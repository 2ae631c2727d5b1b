"""Client of a language model at an endpoint with OpenAI's chat completions API."""

import json
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.errors import UserError
from saetask.utils.files import content_hash
from saetask.utils.journal import Journal

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

FAILURES_IN_A_ROW = 5
"""Number of consecutive requests without an answer at which a job gives up."""
UNAVAILABLE = (401, 403, 404, 429, 502, 503, 504)
"""Statuses that do not depend on the request: wrong key, wrong model, too busy, down."""
_FENCED = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)


class Reply(NamedTuple):
    """Text of an answer, with its number of tokens."""

    text: str
    prompt_tokens: int
    completion_tokens: int


class EndpointError(Exception):
    """One request got no usable answer; the next one may get one."""


class Endpoint:
    """A chat model at an OpenAI-compatible address; safe for several threads.

    Args:
        model: The model's name at the endpoint.
        base_url: The address, up to `/v1`; None takes `$OPENAI_BASE_URL`, else OpenAI's own.
        timeout: Seconds to wait for an answer.
        retries: Maximum number of retries after a temporary failure, with the client's backoff.

    Raises:
        UserError: The client library is not installed, or there is neither a key nor an address.
    """

    def __init__(
        self, model: str, base_url: str | None = None, *, timeout: float = 60.0, retries: int = 4
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise UserError(
                "Asking a language model needs the client library 'openai'; "
                "install it with: pip install 'saetask[llm]'"
            ) from error
        address = base_url or os.environ.get("OPENAI_BASE_URL") or None
        key = os.environ.get("OPENAI_API_KEY")
        if not key and not address:
            raise UserError(
                f"No key to ask '{model}' with; set OPENAI_API_KEY, or give the address of an "
                "endpoint that needs none."
            )
        # The library requires a key, also for an endpoint that needs none.
        self._client = openai.OpenAI(
            api_key=key or "none", base_url=address, timeout=timeout, max_retries=retries
        )
        self.model, self.base_url = model, str(self._client.base_url)
        self._sampling: dict[str, Any] = {"temperature": 0}
        self._lock = threading.Lock()
        self._failures = 0

    def ask(self, messages: Sequence[Mapping[str, str]]) -> Reply:
        """Returns the answer to a conversation.

        Args:
            messages: `{"role": ..., "content": ...}` each.

        Raises:
            EndpointError: There was no answer, or one without text.
            UserError: `FAILURES_IN_A_ROW` consecutive requests could not be answered at all.
        """
        import openai

        try:
            completion = self._complete(messages)
        except openai.APIStatusError as error:
            reason = " ".join(str(error).split())[:200]
            if error.status_code in UNAVAILABLE:
                self._count_failure(reason, error)
            raise EndpointError(reason) from error
        except (openai.OpenAIError, ValueError) as error:
            reason = " ".join(f"{error} {error.__cause__ or ''}".split())[:200]
            if isinstance(error, openai.APIConnectionError):
                self._count_failure(reason, error)
            raise EndpointError(reason) from error
        with self._lock:
            self._failures = 0
        # The library does not check what an endpoint sends with status 200.
        choices = getattr(completion, "choices", None)
        text = choices[0].message.content if choices else None
        if not text:
            raise EndpointError("an answer without text")
        usage = completion.usage
        return Reply(
            text, usage.prompt_tokens if usage else 0, usage.completion_tokens if usage else 0
        )

    def _complete(self, messages: Sequence[Mapping[str, str]]) -> "ChatCompletion":
        import openai

        asked: Any = [dict(message) for message in messages]
        create = self._client.chat.completions.create
        try:
            return create(model=self.model, messages=asked, **self._sampling)
        except openai.BadRequestError as error:
            # Some models allow their default temperature only.
            if not self._sampling or "temperature" not in str(error):
                raise
            self._sampling = {}
            return create(model=self.model, messages=asked)

    def _count_failure(self, reason: str, cause: Exception) -> None:
        with self._lock:
            self._failures += 1
            if self._failures < FAILURES_IN_A_ROW:
                return
        raise UserError(
            f"'{self.model}' at {self.base_url} could not be asked {FAILURES_IN_A_ROW} times in a "
            f"row ({reason}); check the address, the model's name and OPENAI_API_KEY, then give "
            "the same command again: what was answered is kept."
        ) from cause


def json_object(text: str) -> dict[str, Any]:
    """Parses an answer that is a JSON object, with or without a code fence around it.

    Raises:
        EndpointError: It is anything else.
    """
    bare = text.strip()
    fenced = _FENCED.fullmatch(bare)
    try:
        document = json.loads(fenced[1] if fenced else bare)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise EndpointError(f"no JSON object: {bare[:60]!r}")
    return document


WORKERS = 8
"""Default number of concurrent requests."""


class Answer(NamedTuple):
    """Answer of a language model to one request."""

    content: list[Any] | None
    """The requested value; None if there was no answer or it could not be used."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


def ask_once(
    endpoint: Endpoint,
    journal: Journal,
    messages: Sequence[Mapping[str, str]],
    read: Callable[[str], list[Any]],
) -> Answer:
    """Sends one request, unless the journal has its answer; failed requests are not kept.

    Args:
        endpoint: The language model.
        journal: Gets usable answers.
        messages: The conversation to answer.
        read: Extracts what was asked for from an answer's text; raises `EndpointError` if it is
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
