"""Requests to the model under test: candidates ranked or texts generated, each answered once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.prompts import Prompt, render
from saetask.errors import UserError
from saetask.inference.likelihood import Continuation, log_likelihoods
from saetask.models.content import model_content
from saetask.models.forward import generate_texts
from saetask.models.loading import context_size, model_tokenizer
from saetask.utils.files import content_hash
from saetask.utils.journal import Journal
from saetask.utils.progress import stage

if TYPE_CHECKING:
    from saetask.models.loading import Model

REQUESTS_PER_SHARD = 32
MAX_NEW_TOKENS = 64


class RankRequest(NamedTuple):
    """A prompt, and candidate answers whose log-likelihoods are wanted."""

    prompt: Prompt
    candidates: tuple[str, ...]


class RankResponse(NamedTuple):
    """The model's scores of a request's candidates."""

    log_likelihoods: np.ndarray
    """In nats, `[n_candidates]`, float64."""


class GenerateRequest(NamedTuple):
    """A prompt that is to be continued greedily."""

    prompt: Prompt
    max_new_tokens: int = MAX_NEW_TOKENS


Request = RankRequest | GenerateRequest
Answer = list[float] | str


class ModelClient:
    """Sends requests to a model and keeps the answers, in memory and in a journal.

    Equal requests are computed once, also by later processes that use the same journal. An answer
    in a journal belongs to the content of the model that gave it: another model, chat template or
    dtype finds none there and is asked anew.
    """

    def __init__(
        self,
        model: "Model",
        journal: Path | None = None,
        executor: Executor | None = None,
    ) -> None:
        """Opens the client.

        Args:
            model: The model under test.
            journal: A file that answers are appended to and read from; None keeps none.
            executor: Where the model is run; None runs it in this process.

        Raises:
            UserError: The journal is damaged, or the file is something else.
        """
        self._executor = executor or LocalExecutor(model)
        self._answers = Journal(journal)
        self._content = model_content(model).hash if journal else ""
        """What the keys of answers begin with; without a journal they are of one model anyway."""

    def __len__(self) -> int:
        """Number of answers kept."""
        return len(self._answers)

    def rank(self, requests: Iterable[RankRequest], title: str = "rank") -> list[RankResponse]:
        """Returns the response to each request, in the order of the requests.

        Args:
            requests: In any order: prompts that begin alike are computed together.
            title: What the stage is called in the progress.

        Raises:
            UserError: A prompt is too long, or a candidate has no tokens.
        """
        requests = list(requests)
        self._compute(sorted(requests, key=_prefix_order), title)
        known = [self._answers[self._key(request)] for request in requests]
        return [RankResponse(np.array(answer, dtype=float)) for answer in known]

    def generate(self, requests: Iterable[GenerateRequest], title: str = "generate") -> list[str]:
        """Returns the text that the model writes after each prompt, in their order.

        Raises:
            UserError: A prompt is too long.
        """
        requests = list(requests)
        self._compute(requests, title)
        return [str(self._answers[self._key(request)]) for request in requests]

    def stored_reply(self, key: str) -> str | None:
        """Returns a reply of another language model that was stored; None if there is none."""
        reply = self._answers.get(key)
        return reply if isinstance(reply, str) else None

    def store(self, answers: Mapping[str, Answer]) -> None:
        """Stores answers by key, in the journal too; may be called from several threads.

        Raises:
            UserError: The journal can not be written, or its disk is full.
        """
        self._answers.add_together(answers)

    @contextmanager
    def temporary_cache(self) -> Iterator[None]:
        """Drops, at the end, the answers of requests made within, unless there is a journal.

        A stream of prompts then takes no more memory than one of them. Not for several threads.
        """
        with self._answers.temporary():
            yield

    def _key(self, request: Request) -> str:
        """Returns the key of a request's answer by this model."""
        prompt = request.prompt
        messages = [dict(message) for message in prompt.messages]
        if isinstance(request, RankRequest):
            return content_hash([self._content, messages, prompt.answer_prefix, request.candidates])
        asked = [messages, prompt.answer_prefix, [], request.max_new_tokens]
        return content_hash([self._content, *asked])

    def _compute(self, requests: Sequence[Request], title: str) -> None:
        """Has the unknown requests answered, in shards of a fixed size, and stores the answers."""
        new = {self._key(request): request for request in requests}
        new = {key: request for key, request in new.items() if key not in self._answers}
        keys, pending = list(new), list(new.values())
        starts = range(0, len(pending), REQUESTS_PER_SHARD)
        shards = [pending[start : start + REQUESTS_PER_SHARD] for start in starts]
        with stage(title, len(pending)) as advance:
            for start, answers in zip(starts, self._executor.map(answer_requests, shards)):
                self.store(dict(zip(keys[start:], answers)))
                advance(len(answers))


def answer_requests(model: "Model", requests: Sequence[Request]) -> list[Answer]:
    """Runs a model: returns log-likelihoods of candidates, or the generated text, by request.

    Raises:
        UserError: A prompt is too long or a candidate has no tokens.
    """
    limit = context_size(model)
    prompts = [render(model_tokenizer(model), r.prompt, limit).token_ids for r in requests]
    answers: list[Answer] = [""] * len(requests)
    ranked = {i: request for i, request in enumerate(requests) if isinstance(request, RankRequest)}
    continuations = [
        continuation
        for i, request in ranked.items()
        for continuation in _continuations(model, request, prompts[i])
    ]
    scores = iter(log_likelihoods(model, continuations))
    for i, request in ranked.items():
        answers[i] = [next(scores) for _ in request.candidates]
    by_length: dict[int, list[int]] = {}
    for i, request in enumerate(requests):
        if isinstance(request, GenerateRequest):
            by_length.setdefault(request.max_new_tokens, []).append(i)
    for length, numbers in by_length.items():
        texts = generate_texts(model, [prompts[i] for i in numbers], length)
        for i, text in zip(numbers, texts):
            answers[i] = text
    return answers


def _continuations(
    model: "Model", request: RankRequest, prompt_ids: list[int]
) -> Iterator[Continuation]:
    for candidate in request.candidates:
        answer_ids = model_tokenizer(model)(candidate, add_special_tokens=False)["input_ids"]
        if not answer_ids:
            content = request.prompt.content[:60]
            raise UserError(
                f"The candidate answer {candidate!r} has no tokens; give the item "
                f"{content!r} another."
            )
        yield Continuation(prompt_ids, answer_ids)


def _prefix_order(request: RankRequest) -> tuple[list[str], str]:
    """Sort key that puts prompts with a common beginning side by side."""
    return [message["content"] for message in request.prompt.messages], request.prompt.answer_prefix
