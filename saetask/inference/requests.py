"""Requests to the model under test, and their tokens, checked before anything is asked."""

from typing import TYPE_CHECKING, NamedTuple

from saetask.data.prompts import Prompt
from saetask.data.rendering import AnswerTokens, render_answers
from saetask.errors import UserError
from saetask.models.additions import Addition
from saetask.models.loading import context_size, model_tokenizer
from saetask.utils.files import content_hash

if TYPE_CHECKING:
    from saetask.models.loading import Model

MAX_NEW_TOKENS = 64


class RankRequest(NamedTuple):
    """A prompt, and candidate answers whose log-likelihoods are wanted."""

    prompt: Prompt
    candidates: tuple[str, ...]
    item: str = ""
    """Id of the item, for messages."""
    addition: Addition | None = None
    """What is added to the activations of the prompt; None adds nothing."""


class GenerateRequest(NamedTuple):
    """A prompt that is to be continued: greedily, or by a sample."""

    prompt: Prompt
    max_new_tokens: int = MAX_NEW_TOKENS
    item: str = ""
    """Id of the item, for messages."""
    temperature: float = 0.0
    """Of the sample; 0 takes the most probable tokens."""
    sample: int = 0
    """Number of the sample: another number draws another text."""
    addition: Addition | None = None
    """What is added to the activations of the prompt; None adds nothing."""
    end: str = ""
    """Regular expression: the text ends with its first match; "" ends none."""

    @property
    def seed(self) -> int:
        """Seed of the sample: the same for the same prompt and number, whatever the batch."""
        messages = [dict(message) for message in self.prompt.messages]
        asked = [messages, self.prompt.answer_prefix, self.sample]
        return int(content_hash(asked)[:15], 16)


Request = RankRequest | GenerateRequest


class TokenisedRequest(NamedTuple):
    """A request that was checked, and its tokens."""

    request: Request
    tokens: AnswerTokens


def tokenise(model: "Model", request: Request) -> AnswerTokens:
    """Returns the tokens of a request's prompt and candidates.

    Raises:
        UserError: The prompt with its longest candidate, or with the tokens that may be generated,
            exceeds the model's context, or a candidate has no tokens or comes twice.
    """
    candidates = request.candidates if isinstance(request, RankRequest) else ()
    tokens = render_answers(model_tokenizer(model), request.prompt, candidates)
    limit, n_prompt = context_size(model), len(tokens.prompt_ids)
    if isinstance(request, GenerateRequest):
        longest, answer = request.max_new_tokens, "the answer"
    else:
        _check_candidates(request, tokens)
        longest = max(map(len, tokens.answers), default=0)
        answer = "the longest candidate answer"
    if n_prompt + longest > limit:
        raise UserError(
            f"{_who(request)}: the prompt has {n_prompt} tokens and {answer} up to {longest}, "
            f"together more than the model's context of {limit}; shorten the item, its note or its "
            "answers."
        )
    return tokens


def _check_candidates(request: RankRequest, tokens: AnswerTokens) -> None:
    seen: dict[tuple[int, ...], str] = {}
    for candidate, answer_ids in zip(request.candidates, map(tuple, tokens.answers)):
        if not answer_ids:
            raise UserError(
                f"{_who(request)}: the candidate answer {candidate!r} has no tokens; give another."
            )
        if answer_ids in seen:
            raise UserError(
                f"{_who(request)}: the candidate answers {seen[answer_ids]!r} and {candidate!r} "
                "are the same tokens; give another."
            )
        seen[answer_ids] = candidate


def _who(request: Request) -> str:
    """Returns what messages call a request: the item's id, or how its text begins."""
    return f"Item '{request.item}'" if request.item else f"Prompt {request.prompt.content[:60]!r}"
