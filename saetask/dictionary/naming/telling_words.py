"""Telling words and contexts: what a named feature or concept fires on most."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.data.word_classes import FUNCTION_WORDS, word_lists
from saetask.dictionary.naming.battery import REACH, Predicate
from saetask.dictionary.naming.token_words import TokenWords

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

N_WORDS = 3
MIN_LETTERS = 3
N_EXAMPLES = 3
BEFORE, AFTER = 12, 6
"""Number of tokens of an example before and after the firing one."""


def telling_words(
    predicate: Predicate,
    tokens: TokenWords,
    source: "Bool[np.ndarray, ' n']",
    firing: "Int[np.ndarray, ' k']",
    activations: "Float[np.ndarray, ' k']",
) -> tuple[str, ...]:
    """Returns the words that a predicate holds for where a feature fires, the most telling first.

    Args:
        predicate: The predicate.
        tokens: All tokens.
        source: Which tokens are of the predicate's source, such as words for food.
        firing: Tokens on which the feature fires.
        activations: Its activation on each.

    Returns:
        Up to `N_WORDS` whole words; none that is a function word.
    """
    sums: Counter[str] = Counter()
    for token, activation in zip(firing.tolist(), activations.tolist()):
        for place in _source_tokens(predicate, tokens, token):
            if source[place] and _is_telling(tokens, place):
                sums[tokens.words[place]] += activation
    return tuple(word for word, _ in sums.most_common(N_WORDS))


def _source_tokens(predicate: Predicate, tokens: TokenWords, token: int) -> Sequence[int]:
    """Returns the tokens of which a predicate of this relation speaks."""
    relation = predicate.id.partition(":")[0]
    first, last = int(tokens.first[token]), int(tokens.last[token])
    if relation == "on":
        return [first]
    if relation == "before":
        return [last + 1] if last + 1 < tokens.row_end[token] else []
    reach = 1 if relation == "after" else REACH
    return range(max(int(tokens.row_start[token]), first - reach), first)


def _is_telling(tokens: TokenWords, place: int) -> bool:
    word = tokens.words[place]
    return len(word) >= MIN_LETTERS and word not in word_lists()[FUNCTION_WORDS]


class Window(NamedTuple):
    """A token on which a feature or concept fires, and the tokens around it."""

    pieces: Sequence[str]
    """The texts of the tokens, white space included."""
    place: int
    """Index of the firing one."""
    word: str
    """What it is, or is part of: one example of each is enough."""


def marked(before: str, token: str, after: str) -> str:
    """Returns a text on one line, its firing token between « and »."""
    space = token[: len(token) - len(token.lstrip())]
    return " ".join(f"{before}{space}«{token.strip()}»{after}".split())


def marked_examples(windows: Iterable[Window]) -> tuple[str, ...]:
    """Returns the texts of the first windows of different words, without control tokens."""
    examples: dict[str, str] = {}
    for pieces, place, word in windows:
        if word in examples or any("<|" in piece for piece in pieces):
            continue
        before, after = "".join(pieces[:place]), "".join(pieces[place + 1 :])
        examples[word] = marked(before, pieces[place], after)
        if len(examples) == N_EXAMPLES:
            break
    return tuple(examples.values())


def firing_examples(
    pieces: list[str],
    tokens: TokenWords,
    firing: "Int[np.ndarray, ' k']",
    activations: "Float[np.ndarray, ' k']",
) -> tuple[str, ...]:
    """Returns the contexts of the strongest firings, on different words, the firing one marked.

    Args:
        pieces: The text of each token, white space included.
        tokens: The same tokens.
        firing: Tokens on which the feature or concept fires.
        activations: Its activation on each.
    """
    order = firing[np.argsort(-activations, kind="stable")].tolist()
    return marked_examples(_window(pieces, tokens, token) for token in order)


def _window(pieces: list[str], tokens: TokenWords, token: int) -> Window:
    low = max(int(tokens.row_start[token]), token - BEFORE)
    high = min(int(tokens.row_end[token]), token + AFTER + 1)
    return Window(pieces[low:high], token - low, tokens.words[token])
