"""Holds a tokenizer against a model's embedding, which must have a row for every token."""

import json
import sys
from collections.abc import Set
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROLES = ("bos", "eos", "pad", "unk", "sep", "cls", "mask")
"""Roles of special tokens, as in `bos_token`."""


def keep_embedded_tokens(tokenizer: "PreTrainedTokenizerBase", n_rows: int, name: str) -> None:
    """Removes added tokens from a tokenizer whose ids lie beyond a model's embedding.

    Such tokens were added to the tokenizer and not to the model, as padding tokens often are. An
    embedding of more rows than there are tokens is usual.

    Args:
        tokenizer: Changed in place.
        n_rows: Rows of the embedding.
        name: The model's, for a warning.

    Raises:
        UserError: Tokens of the vocabulary itself have no embedding.
    """
    vocabulary = tokenizer.get_vocab()
    beyond = {token for token, number in vocabulary.items() if number >= n_rows}
    if not beyond:
        return
    added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    ordinary = beyond - added
    if ordinary or not tokenizer.is_fast:
        token = min(ordinary or beyond, key=vocabulary.__getitem__)
        raise UserError(
            f"The tokenizer has {len(vocabulary)} tokens and the model {n_rows} embeddings, so "
            f"{token!r} has none; give the model the tokenizer that it was trained with."
        )
    print(
        f"saetask: warning: {name} has no embedding of {len(beyond)} tokens that were added to "
        f"its tokenizer, such as {min(beyond)!r}; they are read as plain text.",
        file=sys.stderr,
    )
    remove_added_tokens(tokenizer, beyond)


def remove_added_tokens(tokenizer: Any, tokens: Set[str]) -> None:
    """Removes added tokens from a fast tokenizer, and from their roles, such as BOS.

    In text they are characters like any others then.
    """
    from tokenizers import Tokenizer

    if not tokens:
        return
    for role in ROLES:
        if getattr(tokenizer, f"{role}_token", None) in tokens:
            setattr(tokenizer, f"{role}_token", None)
    extra = tokenizer._extra_special_tokens
    tokenizer._extra_special_tokens = [token for token in extra if str(token) not in tokens]
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    backend["added_tokens"] = [t for t in backend["added_tokens"] if t["content"] not in tokens]
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(backend))
