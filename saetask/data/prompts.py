"""Prompts with named spans, and their rendering to text and tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from saetask.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = Mapping[str, str]
"""A chat message: `{"role": ..., "content": ...}`."""


class Span(NamedTuple):
    """A half-open range of characters."""

    start: int
    end: int

    def overlaps(self, other: "Span") -> bool:
        """Returns whether the two ranges share a character."""
        return max(self.start, other.start) < min(self.end, other.end)

    def shifted(self, by: int) -> "Span":
        """Returns the span moved by a number of characters."""
        return Span(self.start + by, self.end + by)


@dataclass(frozen=True)
class Prompt:
    """A chat whose last message is the user's, with an optional beginning of the answer."""

    messages: Sequence[Message]
    answer_prefix: str = ""
    """Text that the answer begins with."""
    spans: Mapping[str, Span] = field(default_factory=dict)
    """Named ranges of the last message's content, such as `target` and `text`."""

    @property
    def content(self) -> str:
        """The last message's content."""
        return self.messages[-1]["content"]

    @property
    def text(self) -> str:
        """The contents of all messages, joined by newlines: a note may be in a system message."""
        return "\n".join(message["content"] for message in self.messages)

    def with_content(self, content: str) -> "Prompt":
        """Returns the prompt with another last message, without the spans of the old one."""
        last = {**self.messages[-1], "content": content}
        return Prompt([*self.messages[:-1], last], self.answer_prefix)


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


def as_prompt(text: str) -> Prompt:
    """Returns a prompt with the text as its only message."""
    return Prompt([{"role": "user", "content": text}], spans={"text": Span(0, len(text))})


def render(
    tokenizer: "PreTrainedTokenizerBase",
    prompt: Prompt | str,
    max_tokens: int | None = None,
    bos: bool = True,
) -> RenderedPrompt:
    """Renders a prompt to text and tokens, by the tokenizer's chat template if it has one.

    Args:
        tokenizer: A fast tokenizer (one that gives character offsets).
        prompt: A prompt; a string is taken as running text, without a chat template.
        max_tokens: The model's context size.
        bos: Begin with the tokenizer's BOS token, if it has one; a chat template writes its own.

    Raises:
        UserError: The prompt is empty or longer than `max_tokens`, or the tokenizer is slow.
    """
    if not (prompt if isinstance(prompt, str) else prompt.content).strip():
        raise UserError("The prompt is empty; give some text to read.")
    if isinstance(prompt, str):
        text, regions, templated = prompt, {"text": Span(0, len(prompt))}, False
    else:
        templated = tokenizer.chat_template is not None
        text, regions = _render_chat(tokenizer, prompt, templated)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UserError("The prompt holds half of a surrogate pair, which is no character.")
    if not tokenizer.is_fast:
        name = type(tokenizer).__name__
        raise UserError(f"{name} gives no character offsets; load a fast tokenizer.")
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    token_ids: list[int] = list(encoding["input_ids"])
    spans = [Span(*offsets) for offsets in encoding["offset_mapping"]]
    if bos and not templated and tokenizer.bos_token_id is not None:
        token_ids, spans = [tokenizer.bos_token_id, *token_ids], [Span(0, 0), *spans]
    if max_tokens is not None and len(token_ids) > max_tokens:
        raise UserError(
            f"The prompt has {len(token_ids)} tokens, more than the model's context of "
            f"{max_tokens}; shorten it. It begins: {text[:60]!r}"
        )
    read = [span for span in spans if "text" in regions and span.overlaps(regions["text"])]
    if read:
        regions = {"end": read[-1], **regions}
    return RenderedPrompt(text, token_ids, spans, regions)


def renders(tokenizer: "PreTrainedTokenizerBase", prompt: Prompt) -> bool:
    """Returns whether a prompt can be rendered: many chat templates refuse a system message."""
    try:
        render(tokenizer, prompt)
    except UserError:
        return False
    return True


def _render_chat(
    tokenizer: "PreTrainedTokenizerBase", prompt: Prompt, templated: bool
) -> tuple[str, dict[str, Span]]:
    """Returns the chat as one text, and the prompt's spans in it."""
    from jinja2 import TemplateError

    def head_with(content: str) -> str:
        messages = [dict(message) for message in prompt.with_content(content).messages]
        if not templated:
            return "\n\n".join(message["content"] for message in messages) + "\n"
        try:
            head = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise UserError(f"The chat template refuses messages of {roles}: {error}") from error
        assert isinstance(head, str)
        return head

    head = head_with(prompt.content)
    start = head_with("\ue000").rfind("\ue000")  # a private character: no template holds it
    if start < 0 or not head.startswith(prompt.content, start):
        raise UserError(
            "The chat template changes the message's text, so spans in it cannot be found; "
            f"remove leading and trailing blanks from {prompt.content[:40]!r}."
        )
    regions = {name: span.shifted(start) for name, span in prompt.spans.items()}
    text = head + prompt.answer_prefix
    regions["answer"] = Span(len(head), len(text))
    return text, regions
