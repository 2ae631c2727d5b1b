"""Ranking four candidate answers: `ModelClient.rank`, beside a forward pass for each of them.

limit: one forward pass over a prompt and the tokens of its candidates, with logits where they are
needed; each prompt stands alone. today: prompt and candidate through the bridge, one pair after
another. saetask: `ModelClient.rank` on all prompts, which may pass the limit, since it computes
only once what several prompts begin with.
"""

from typing import TYPE_CHECKING, Any

from saetask.data import render
from saetask.inference.likelihood import Continuation
from saetask.inference.requests import RankRequest
from saetask_plugins.tasks.word_problems import WordProblems

from .subject import Setting
from .texts import shuffled
from .timing import Asked, entry, interleaved

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

N_CANDIDATES = 4


def measure(setting: Setting) -> dict[str, Any]:
    """Times ranking and returns this benchmark's part of the document."""
    import torch

    from saetask.inference.client import ModelClient

    subject = setting.subject
    model: Any = subject.model
    requests = _requests(setting.amounts.rank_prompts)
    continuations = [_continuations(model.tokenizer, request) for request in requests]

    def limit(_: int) -> int:
        for several in continuations:
            prompt_ids = several[0].prompt_ids
            row = [*prompt_ids, *(token for c in several for token in c.answer_ids[:-1])]
            needed = torch.arange(len(prompt_ids) - 1, len(row))
            with torch.inference_mode():
                subject.hf_model(torch.tensor([row]), use_cache=False, logits_to_keep=needed)
        return len(requests)

    def today(_: int) -> int:
        for several in continuations:
            for continuation in several:
                _log_likelihood(model, continuation)
        return len(requests)

    def saetask(_: int) -> int:
        ModelClient(model).rank(requests)
        return len(requests)

    ways = {"limit": limit, "today": today, "saetask": saetask}
    timings = interleaved(ways, setting.rounds, "prompt")
    asked = [
        Asked("speed over the plain loop's", timings.times_as_fast("saetask", "today"), lowest=2.5)
    ]
    work = {"prompts": len(requests), "candidates": N_CANDIDATES}
    return entry(timings, asked, work=work)


def _requests(n: int) -> list[RankRequest]:
    """Returns n word problems with four candidates."""
    task, found = WordProblems(), []
    for item in shuffled(task.items()):
        candidates = tuple(candidate.text for candidate in task.candidates(item) or [])
        if len(candidates) == N_CANDIDATES:
            found.append(RankRequest(task.prompt(item), candidates))
    return found[:n]


def _continuations(
    tokenizer: "PreTrainedTokenizerBase", request: RankRequest
) -> list[Continuation]:
    prompt_ids = render(tokenizer, request.prompt).token_ids
    encoded = tokenizer(list(request.candidates), add_special_tokens=False)
    return [Continuation(prompt_ids, answer_ids) for answer_ids in encoded["input_ids"]]


def _log_likelihood(model: Any, continuation: Continuation) -> float:
    """Returns the log-likelihood of an answer, as one would write it without saetask."""
    import torch

    prompt_ids, answer_ids = continuation
    tokens = torch.tensor([[*prompt_ids, *answer_ids]])
    with torch.no_grad():
        log_probabilities = model(tokens, return_type="logits")[0].log_softmax(-1)
    places = torch.arange(len(prompt_ids) - 1, tokens.shape[1] - 1)
    return log_probabilities[places, tokens[0, len(prompt_ids) :]].sum().item()
