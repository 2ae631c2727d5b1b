"""Tokens of text in which nothing is a control token, and of templates whose own tokens are.

A tokenizer takes the string `<|im_end|>` for the control token of that name, whoever wrote it: a
prompt could then end its own turn, and a corpus would hold tokens that are no text. Here the texts
of users and corpora are read as text; the control tokens are those that a chat template writes.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from saetask.data.chat_template import template_source
from saetask.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

FIRST_OF_TEMPLATE, FIRST_OF_TEXT = "\U000f0000", "\U00100000"
"""First characters of two planes for private use; a control token is written as its length in
copies of the character that has its number: in a template's text, and in texts given to one."""
_CODECS: "WeakKeyDictionary[PreTrainedTokenizerBase, TextCodec]" = WeakKeyDictionary()


class TextTokens(NamedTuple):
    """Tokens of a text."""

    token_ids: list[int]
    spans: list[tuple[int, int]]
    """Range of characters of each token."""


class TextCodec:
    """A tokenizer that reads a text's control tokens as text, unless they are marked.

    The mark of a control token has its number of characters, so that offsets stay.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        """Takes the control tokens of a fast tokenizer; see `control_tokens`."""
        self.state = _state(tokenizer)
        self._tokenizer = tokenizer
        self._controls = sorted(control_tokens(tokenizer), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._controls)) or r"(?!)")
        self._numbers = {content: number for number, content in enumerate(self._controls)}
        unknown = tokenizer.unk_token
        self._ids = {i for c, i in control_tokens(tokenizer).items() if c != unknown}
        self._unknown = unknown if unknown in self._numbers else None

    def holds_controls(self, texts: Sequence[str]) -> bool:
        """Returns whether the tokenizer would find a control token in one of the texts."""
        rows: Any = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)
        return any(map(self.has_controls, texts, rows["input_ids"]))

    def has_controls(self, text: str, token_ids: Sequence[int]) -> bool:
        """Returns whether the tokenizer found a control token in a text.

        The unknown token stands for what the vocabulary lacks as well as for its own name.
        """
        named = self._unknown is not None and self._unknown in text
        return named or not self._ids.isdisjoint(token_ids)

    def marked(self, text: str, first: str) -> str:
        """Returns a text whose control tokens are marked from the character `first` on."""
        return self._pattern.sub(lambda m: self._mark(self._numbers[m[0]], first), text)

    def unmarked(self, text: str, first: str) -> str:
        """Returns a text whose marks from the character `first` on are control tokens again."""
        for number, content in enumerate(self._controls):
            if chr(ord(first) + number) in text:
                text = text.replace(self._mark(number, first), content)
        return text

    def check_unmarked(self, texts: Sequence[str]) -> None:
        """Refuses texts that hold both control tokens and the characters that mark them.

        Raises:
            UserError: There are such characters.
        """
        if any(character >= FIRST_OF_TEMPLATE for text in texts for character in text):
            raise UserError(
                "A text holds both a control token of the tokenizer and characters of the planes "
                f"for private use (U+F0000 and above); remove one of them from {texts[-1][:40]!r}."
            )

    def encode(self, text: str) -> TextTokens:
        """Returns the tokens of a text: control tokens only where `FIRST_OF_TEMPLATE` marks them.

        Raises:
            UserError: The tokenizer has no way to read a control token as text.
        """
        encoding = self._plain.encode(text, add_special_tokens=False)
        token_ids = [self._original_ids.get(i, i) for i in encoding.ids]
        return TextTokens(token_ids, list(encoding.offsets))

    def _mark(self, number: int, first: str) -> str:
        return chr(ord(first) + number) * len(self._controls[number])

    @cached_property
    def _plain(self) -> "Tokenizer":
        """The tokenizer with every control token renamed to its mark."""
        from tokenizers import Tokenizer

        document = json.loads(self._backend.to_str())
        document |= {"truncation": None, "padding": None}
        for entry in document["added_tokens"]:
            entry["content"] = self._renamed(entry["content"])
        _rename_vocabulary(document["model"], self._renamed)
        return Tokenizer.from_str(json.dumps(document))

    @cached_property
    def _original_ids(self) -> Mapping[int | None, int]:
        """The tokenizer's ids by those of the renamed one, which may have counted anew."""
        added = self._backend.get_added_tokens_decoder()
        names = {i: self._renamed(token.content) for i, token in added.items()}
        return {self._plain.token_to_id(name): i for i, name in names.items()}

    @property
    def _backend(self) -> Any:
        return getattr(self._tokenizer, "backend_tokenizer")  # noqa: B009

    def _renamed(self, content: str) -> str:
        if content not in self._numbers:
            return content
        return self._mark(self._numbers[content], FIRST_OF_TEMPLATE)


def _rename_vocabulary(model: dict[str, Any], renamed: Callable[[str], str]) -> None:
    """Renames pieces of a tokenizer's model in place, and drops the merges that make them."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {renamed(piece): number for piece, number in vocabulary.items()}
    else:
        model["vocab"] = [[renamed(piece), *rest] for piece, *rest in vocabulary]
    if isinstance(model.get("unk_token"), str):
        model["unk_token"] = renamed(model["unk_token"])
    if "merges" in model:
        pairs = [m if isinstance(m, list) else m.split(" ") for m in model["merges"]]
        pieces = [("".join(pair), *pair) for pair in pairs]
        kept = [all(renamed(p) == p for p in merge) for merge in pieces]
        model["merges"] = [pair for pair, keep in zip(pairs, kept) if keep]


def control_tokens(tokenizer: "PreTrainedTokenizerBase") -> dict[str, int]:
    """Returns the id of each control token, by its text.

    These are the special tokens and, of the other added tokens, those that the chat template
    writes, such as `<think>`. Added tokens of another kind (runs of blanks, HTML tags in Gemma)
    belong to ordinary text.
    """
    template = template_source(tokenizer)
    special = set(tokenizer.all_special_tokens)
    return {
        token.content: token_id
        for token_id, token in tokenizer.added_tokens_decoder.items()
        if token.content
        and (
            token.special
            or token.content in special
            or (token.content.strip() and token.content in template)
        )
    }


def text_codec(tokenizer: "PreTrainedTokenizerBase") -> TextCodec:
    """Returns the codec of a tokenizer as it is now.

    Raises:
        UserError: The tokenizer is slow.
    """
    if not tokenizer.is_fast:
        name = type(tokenizer).__name__
        raise UserError(f"{name} gives no character offsets; load a fast tokenizer.")
    codec = _CODECS.get(tokenizer)
    if codec is None or codec.state != _state(tokenizer):
        codec = _CODECS[tokenizer] = TextCodec(tokenizer)
    return codec


def text_tokens(tokenizer: "PreTrainedTokenizerBase", text: str) -> TextTokens:
    """Returns the tokens of a text, none of which is a control token; without BOS.

    Args:
        tokenizer: A fast tokenizer.
        text: Running text.

    Raises:
        UserError: The tokenizer is slow.
    """
    codec, tokens = text_codec(tokenizer), plain_tokens(tokenizer, text)
    return codec.encode(text) if codec.has_controls(text, tokens.token_ids) else tokens


def text_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Returns the ids of `text_tokens`, which are all that a corpus needs."""
    encoding: Any = tokenizer(text, add_special_tokens=False, verbose=False)
    token_ids, codec = list(encoding["input_ids"]), text_codec(tokenizer)
    return codec.encode(text).token_ids if codec.has_controls(text, token_ids) else token_ids


def plain_tokens(tokenizer: "PreTrainedTokenizerBase", text: str) -> TextTokens:
    """Returns the tokens that a tokenizer makes of a text, control tokens included."""
    encoding: Any = tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    return TextTokens(list(encoding["input_ids"]), list(encoding["offset_mapping"]))


def bos_ids(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Returns what running text begins with: the BOS token, or nothing."""
    bos: Any = tokenizer.bos_token_id
    return [] if bos is None else [bos]


def _state(tokenizer: "PreTrainedTokenizerBase") -> tuple[Any, ...]:
    """Returns what a codec depends on and a caller may change."""
    return str(tokenizer.chat_template), len(tokenizer), tuple(tokenizer.all_special_tokens)
