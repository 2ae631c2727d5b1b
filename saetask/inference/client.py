"""Requests to the model under test: candidates ranked or texts generated, each answered once."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.chat_template import template_settings
from saetask.inference.likelihood import (
    Continuation,
    log_likelihoods,
    supports_token_trees,
)
from saetask.inference.ranking import Ranking, begins_another, neutral_prompt, normalised
from saetask.inference.requests import (
    GenerateRequest,
    RankRequest,
    Request,
    TokenisedRequest,
    tokenise,
)
from saetask.models.additions import Addition, added
from saetask.models.content import model_content
from saetask.models.generation import generate_texts
from saetask.models.loading import model_tokenizer
from saetask.models.sampling import Sampling
from saetask.utils.files import content_hash
from saetask.utils.journal import Journal
from saetask.utils.progress import stage

if TYPE_CHECKING:
    from saetask.models.loading import Model

REQUESTS_PER_SHARD = 64


class RankResponse(NamedTuple):
    """The model's scores of a request's candidates."""

    log_likelihoods: np.ndarray
    """In nats, `[n_candidates]`, float64."""
    normalised: np.ndarray | None = None
    """What the client's ranking makes of them; None where it takes them as they are."""

    @property
    def scores(self) -> np.ndarray:
        """What candidates are compared by, `[n_candidates]`, float64."""
        return self.log_likelihoods if self.normalised is None else self.normalised


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
        ranking: Ranking = "likelihood",
    ) -> None:
        """Opens the client.

        Args:
            model: The model under test.
            journal: A file that answers are appended to and read from; None keeps none.
            executor: Where the model is run; None runs it in this process.
            ranking: What candidates are compared by.

        Raises:
            UserError: The journal is damaged, or the file is something else.
        """
        self._executor = executor or LocalExecutor(model)
        self.ranking: Ranking = ranking
        self._model, self._warned = model, False
        self._answers = Journal(journal)
        self._content = model_content(model).hash if journal else ""
        """What the keys of answers begin with; without a journal they are of one model anyway."""

    @property
    def has_answers(self) -> bool:
        """Whether answers are kept."""
        return len(self._answers) > 0

    def rank(self, requests: Iterable[RankRequest], title: str = "rank") -> list[RankResponse]:
        """Returns the response to each request, in the order of the requests.

        Args:
            requests: In any order: prompts that begin alike are computed together.
            title: What the stage is called in the progress.

        Raises:
            UserError: A prompt is too long, or a candidate has no tokens.
        """
        requests = list(requests)
        neutral: list[RankRequest] = []
        if self.ranking == "pmi":
            neutral = [
                request._replace(prompt=neutral_prompt(request.prompt), addition=None)
                for request in requests
            ]
        self._compute(sorted([*requests, *neutral], key=_prefix_order), title)
        responses = [RankResponse(self._log_likelihoods(request)) for request in requests]
        if self.ranking == "likelihood":
            return responses
        return [
            response._replace(
                normalised=normalised(
                    self.ranking,
                    response.log_likelihoods,
                    request.candidates,
                    self._n_tokens(request),
                    self._log_likelihoods(neutral[i]) if neutral else None,
                )
            )
            for i, (request, response) in enumerate(zip(requests, responses))
        ]

    def count_prefixes(self, requests: Iterable[RankRequest]) -> int:
        """Returns the number of requests in which a candidate's tokens begin another one."""
        tokens = [tokenise(self._model, request) for request in requests]
        return sum(begins_another(each.answers) for each in tokens)

    def _log_likelihoods(self, request: RankRequest) -> np.ndarray:
        return np.array(self._answers[self._key(request)], dtype=float)

    def _n_tokens(self, request: RankRequest) -> list[int]:
        if self.ranking != "per-token":
            return []
        return [len(answer) for answer in tokenise(self._model, request).answers]

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

    def _compute(self, requests: Sequence[Request], title: str) -> None:
        """Has the unknown requests answered, in shards of a fixed size, and stores the answers."""
        new = {self._key(request): request for request in requests}
        new = {key: request for key, request in new.items() if key not in self._answers}
        keys, pending = list(new), list(new.values())
        checked = self._check(pending)
        starts = range(0, len(pending), REQUESTS_PER_SHARD)
        shards = [checked[start : start + REQUESTS_PER_SHARD] for start in starts]
        with stage(title, len(pending)) as advance:
            for start, answers in zip(starts, self._executor.map(answer_requests, shards)):
                self.store(dict(zip(keys[start:], answers)))
                advance(len(answers))

    def _check(self, requests: Sequence[Request]) -> list[TokenisedRequest]:
        """Checks requests before any of them is sent: their lengths, and their candidates.

        Raises:
            UserError: One is too long, or has candidates without tokens or the same twice.
        """
        checked = [TokenisedRequest(each, tokenise(self._model, each)) for each in requests]
        if self.ranking != "likelihood" or self._warned:
            return checked
        n_prefixes = sum(begins_another(each.tokens.answers) for each in checked)
        if n_prefixes:
            self._warned = True
            print(
                f"saetask: warning: in {n_prefixes} of {len(requests)} prompts, a candidate answer "
                "begins another one, which can not be likelier; rank them by --ranking per-token, "
                "per-byte or pmi.",
                file=sys.stderr,
            )
        return checked

    def _key(self, request: Request) -> str:
        """Returns what a request's answer is stored by: all that the answer depends on."""
        tokenizer = model_tokenizer(self._model)
        prompt, told = request.prompt, template_settings(tokenizer).key(tokenizer)
        messages = [dict(message) for message in prompt.messages]
        if isinstance(request, RankRequest):
            asked = [messages, prompt.answer_prefix, request.candidates]
        else:
            drawn: list[Any] = [request.temperature, request.sample] if request.temperature else []
            drawn += [{"end": request.end}] if request.end else []
            asked = [messages, prompt.answer_prefix, [], request.max_new_tokens, *drawn]
        moved = [] if request.addition is None else request.addition.key()
        return content_hash([self._content, *asked, *told, *moved])


def answer_requests(model: "Model", checked: Sequence[TokenisedRequest]) -> list[Answer]:
    """Runs a model: returns log-likelihoods of candidates, or the generated text, by request.

    A request with an addition has passes of its own.
    """
    plain = [each for each in checked if each.request.addition is None]
    answers = iter(_answer_together(model, plain))
    return [
        next(answers)
        if each.request.addition is None
        else _answer_with(model, each, each.request.addition)
        for each in checked
    ]


def _answer_with(model: "Model", checked: TokenisedRequest, addition: Addition) -> Answer:
    supports_token_trees(model)  # which is tested once, and not under a hook
    with added(model, addition, len(checked.tokens.prompt_ids)):
        (answer,) = _answer_together(model, [checked])
    return answer


def _answer_together(model: "Model", checked: Sequence[TokenisedRequest]) -> list[Answer]:
    requests, tokens = [each.request for each in checked], [each.tokens for each in checked]
    answers: list[Answer] = [""] * len(requests)
    ranked = {i: request for i, request in enumerate(requests) if isinstance(request, RankRequest)}
    continuations = [
        Continuation(tokens[i].prompt_ids, answer_ids)
        for i in ranked
        for answer_ids in tokens[i].answers
    ]
    scores = iter(log_likelihoods(model, continuations))
    for i, request in ranked.items():
        answers[i] = [next(scores) for _ in request.candidates]
    alike: dict[tuple[int, float, str], dict[int, GenerateRequest]] = {}
    for i, request in enumerate(requests):
        if isinstance(request, GenerateRequest):
            key = (request.max_new_tokens, request.temperature, request.end)
            alike.setdefault(key, {})[i] = request
    for (length, temperature, end), written in alike.items():
        prompts = [tokens[i].prompt_ids for i in written]
        given: list[Any] = []
        if temperature or end:
            seeds = [request.seed for request in written.values()]
            given = [Sampling(temperature, seeds) if temperature else None, end]
        for i, text in zip(written, generate_texts(model, prompts, length, *given)):
            answers[i] = text
    return answers


def _prefix_order(request: RankRequest) -> tuple[list[str], str]:
    """Sort key that puts prompts with a common beginning side by side."""
    return [message["content"] for message in request.prompt.messages], request.prompt.answer_prefix
