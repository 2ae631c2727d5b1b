"""Prompts rendered to text and tokens, in the model's chat template."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.data.chat_template import apply_template, warn_of_thought
from saetask.data.prompts import Prompt, Span
from saetask.data.tokenization import (
    FIRST_OF_TEMPLATE,
    FIRST_OF_TEXT,
    TextCodec,
    TextTokens,
    bos_ids,
    plain_tokens,
    text_codec,
    text_tokens,
)
from saetask.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class PromptTooLongError(UserError):
    """A prompt has more tokens than the model's context."""


@dataclass(frozen=True)
class RenderedPrompt:
    """A prompt as text and tokens."""

    text: str
    """The text after the chat template."""
    token_ids: list[int]
    token_spans: list[Span]
    """Range of characters of `text` of each token. Tokens that are parts of one multi-byte
    character share its span; an added BOS token has an empty one."""
    regions: Mapping[str, Span]
    """The prompt's named spans in `text`; `end`: the last token of the span named `text`; `answer`:
    the answer prefix."""

    def tokens_in(self, region: Span) -> list[int]:
        """Returns the indices of the tokens that overlap a range of characters."""
        return [i for i, span in enumerate(self.token_spans) if span.overlaps(region)]


def render(
    tokenizer: "PreTrainedTokenizerBase",
    prompt: Prompt | str,
    max_tokens: int | None = None,
    bos: bool = True,
) -> RenderedPrompt:
    """Renders a prompt to text and tokens, by the tokenizer's chat template if it has one.

    The control tokens are those that the template writes: where a message or the answer prefix
    holds the text of one, it is read as text.

    Args:
        tokenizer: A fast tokenizer (one that gives character offsets).
        prompt: A prompt; a string is taken as running text, without a chat template.
        max_tokens: The model's context size.
        bos: Begin with the tokenizer's BOS token, if it has one; a chat template writes its own.

    Raises:
        PromptTooLongError: The prompt is longer than `max_tokens`.
        UserError: It is empty, or the tokenizer is slow.
    """
    written = _written(tokenizer, prompt)
    head = bos_ids(tokenizer) if bos and not written.templated else []
    encoded = written.encode("")
    token_ids = [*head, *encoded.token_ids]
    spans = [*(Span(0, 0) for _ in head), *(Span(*span) for span in encoded.spans)]
    if max_tokens is not None and len(token_ids) > max_tokens:
        begins = prompt if isinstance(prompt, str) else prompt.content
        raise PromptTooLongError(
            f"The prompt has {len(token_ids)} tokens, more than the model's context of "
            f"{max_tokens}; shorten it. It begins: {begins[:60]!r}"
        )
    regions = written.regions
    read = [span for span in spans if "text" in regions and span.overlaps(regions["text"])]
    if read:
        regions = {"end": read[-1], **regions}
    return RenderedPrompt(written.text, token_ids, spans, regions)


class AnswerTokens(NamedTuple):
    """Tokens of a prompt and of candidate answers after it."""

    prompt_ids: list[int]
    answers: list[list[int]]
    """Of each candidate: what follows `prompt_ids`; empty where the candidate has no tokens."""


def render_answers(
    tokenizer: "PreTrainedTokenizerBase", prompt: Prompt, candidates: Sequence[str]
) -> AnswerTokens:
    """Returns the tokens of a prompt and of each candidate, each tokenised after the prompt.

    Prompt and candidate are tokenised as one text, as lm-evaluation-harness does (its
    `_encode_pair`): alone, " A" would get a second blank from tokenizers that write one in front
    of every text. Where a candidate merges with the end of the prompt, that end is counted as part
    of every candidate, so that the candidates are compared after the same tokens.

    Args:
        tokenizer: A fast tokenizer.
        prompt: The prompt.
        candidates: Texts that may follow it.

    Raises:
        UserError: As `render`.
    """
    written = _written(tokenizer, prompt, candidates)
    head = [] if written.templated else bos_ids(tokenizer)
    alone = [*head, *written.encode("").token_ids]
    rows = [[*head, *written.encode(candidate).token_ids] for candidate in candidates]
    shared = min((common_length(alone, row) for row in rows if row != alone), default=len(alone))
    return AnswerTokens(alone[:shared], [[] if row == alone else row[shared:] for row in rows])


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Returns the number of tokens with which two rows begin alike."""
    pairs = enumerate(zip(one, other))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


CORPUS_DATE = datetime.date(2024, 7, 26)
"""The date that templates are told in corpora, whose rows must be the same every day: the one that
Llama 3 falls back on."""


def chat_tokens(
    tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Mapping[str, Any]]
) -> list[int]:
    """Returns the tokens of a chat of a corpus, as the tokenizer's chat template writes it.

    Raises:
        UserError: There is no template, or it refuses the messages.
    """
    if tokenizer.chat_template is None:
        raise UserError(
            "A chat is given, but the tokenizer has no chat template; name a column of texts, or a "
            "model that has one."
        )
    codec = text_codec(tokenizer)
    texts = [m["content"] for m in messages if isinstance(m.get("content"), str)]
    if not codec.holds_controls(texts or [""]):
        chat = apply_template(tokenizer, messages, False, CORPUS_DATE)
        return plain_tokens(tokenizer, chat).token_ids
    codec.check_unmarked(texts)
    marked = [
        {**m, "content": codec.marked(m["content"], FIRST_OF_TEXT)}
        if isinstance(m.get("content"), str)
        else m
        for m in messages
    ]
    chat = codec.marked(apply_template(tokenizer, marked, False, CORPUS_DATE), FIRST_OF_TEMPLATE)
    return codec.encode(codec.unmarked(chat, FIRST_OF_TEXT)).token_ids


def renders(tokenizer: "PreTrainedTokenizerBase", prompt: Prompt) -> bool:
    """Returns whether a prompt can be rendered: many chat templates refuse a system message."""
    try:
        render(tokenizer, prompt)
    except UserError:
        return False
    return True


class _WrittenPrompt(NamedTuple):
    """A prompt as one text, before it is tokenised."""

    text: str
    regions: dict[str, Span]
    templated: bool
    """Whether a chat template wrote it."""
    encode: Callable[[str], TextTokens]
    """Returns the tokens of the text with an answer after it."""


def _written(
    tokenizer: "PreTrainedTokenizerBase", prompt: Prompt | str, candidates: Sequence[str] = ()
) -> _WrittenPrompt:
    """Writes a prompt as one text, in which only the template's control tokens will be such."""
    if not (prompt if isinstance(prompt, str) else prompt.content).strip():
        raise UserError("The prompt is empty; give some text to read.")
    given = prompt if isinstance(prompt, str) else prompt.text + prompt.answer_prefix
    if any(
        "\ud800" <= character <= "\udfff" for text in (given, *candidates) for character in text
    ):
        raise UserError(
            "The prompt holds bytes of another encoding (half of a surrogate pair); give UTF-8."
        )
    codec = text_codec(tokenizer)
    if isinstance(prompt, str):
        regions = {"text": Span(0, len(prompt))}
        return _WrittenPrompt(
            prompt, regions, False, lambda end: text_tokens(tokenizer, prompt + end)
        )
    if tokenizer.chat_template is None:
        contents = [message["content"] for message in prompt.messages]
        start = len("\n\n".join([*contents[:-1], ""]))
        head = "\n\n".join(contents) + "\n"
        text, regions = head + prompt.answer_prefix, _regions(prompt, head, start)
        return _WrittenPrompt(text, regions, False, lambda end: text_tokens(tokenizer, text + end))
    answers = [prompt.answer_prefix + candidate for candidate in candidates or [""]]
    texts = [*(message["content"] for message in prompt.messages), *answers]
    marks = codec.holds_controls(texts)
    if marks:
        codec.check_unmarked(texts)
    chat = _in_template(tokenizer, _marked(prompt, codec) if marks else prompt)
    if prompt.answer_prefix or candidates:
        warn_of_thought(tokenizer, chat.head[chat.start + len(prompt.content) :])
    head = codec.unmarked(chat.head, FIRST_OF_TEXT) if marks else chat.head
    regions = _regions(prompt, head, chat.start)
    if not marks:
        source, encode = head + prompt.answer_prefix, partial(plain_tokens, tokenizer)
    else:
        source = codec.unmarked(codec.marked(chat.head, FIRST_OF_TEMPLATE), FIRST_OF_TEXT)
        source, encode = source + prompt.answer_prefix, codec.encode
    text = head + prompt.answer_prefix
    return _WrittenPrompt(text, regions, True, lambda end: encode(source + end))


def _marked(prompt: Prompt, codec: TextCodec) -> Prompt:
    """Returns the prompt with the control tokens marked that its messages hold."""
    messages = [
        {**message, "content": codec.marked(message["content"], FIRST_OF_TEXT)}
        for message in prompt.messages
    ]
    return Prompt(messages)


def _regions(prompt: Prompt, head: str, start: int) -> dict[str, Span]:
    """Returns the prompt's spans in the chat, given where the last message's content starts."""
    regions = {name: span.shifted(start) for name, span in prompt.spans.items()}
    regions["answer"] = Span(len(head), len(head) + len(prompt.answer_prefix))
    return regions


class _Chat(NamedTuple):
    """A chat as its template writes it."""

    head: str
    """Everything before the answer."""
    start: int
    """Where the last message's content starts."""


def _in_template(tokenizer: "PreTrainedTokenizerBase", prompt: Prompt) -> _Chat:
    """Returns the messages as the tokenizer's chat template writes them."""

    def head_with(content: str) -> str:
        return apply_template(tokenizer, prompt.with_content(content).messages)

    head = head_with(prompt.content)
    start = head_with("\ue000").rfind("\ue000")  # a private character: no template holds it
    if start < 0 or not head.startswith(prompt.content, start):
        raise UserError(
            "The chat template changes the message's text, so spans in it cannot be found; "
            f"remove leading and trailing blanks from {prompt.content[:40]!r}."
        )
    return _Chat(head, start)
