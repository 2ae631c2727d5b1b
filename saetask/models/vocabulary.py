"""Holds a tokenizer against a model's embedding, which must have a row for every token."""

import json
from collections.abc import Set
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROLES = ("bos", "eos", "pad", "unk", "sep", "cls", "mask")
"""Roles of special tokens, as in `bos_token`."""


def tokens_without_embedding(tokenizer: "PreTrainedTokenizerBase", n_rows: int) -> set[str]:
    """Returns the added tokens whose ids lie beyond an embedding of so many rows.

    Such tokens were added to the tokenizer and not to the model, as padding tokens often are. An
    embedding of more rows than there are tokens is usual.

    Raises:
        UserError: Tokens of the vocabulary itself have no embedding.
    """
    vocabulary = tokenizer.get_vocab()
    beyond = {token for token, number in vocabulary.items() if number >= n_rows}
    added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    ordinary = sorted(beyond if not tokenizer.is_fast else beyond - added, key=vocabulary.get)
    if ordinary:
        raise UserError(
            f"the tokenizer has {len(vocabulary)} tokens and the model {n_rows} embeddings, so "
            f"{ordinary[0]!r} has none; give the model the tokenizer that it was trained with"
        )
    return beyond


def remove_added_tokens(tokenizer: Any, tokens: Set[str]) -> None:
    """Removes added tokens from a fast tokenizer, and from their roles, such as BOS.

    In text they are characters like any others then.
    """
    from tokenizers import Tokenizer

    for role in ROLES:
        if getattr(tokenizer, f"{role}_token", None) in tokens:
            setattr(tokenizer, f"{role}_token", None)
    extra = tokenizer._extra_special_tokens
    tokenizer._extra_special_tokens = [token for token in extra if str(token) not in tokens]
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    backend["added_tokens"] = [t for t in backend["added_tokens"] if t["content"] not in tokens]
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(backend))
