"""Rules: what a label claims, as a predicate over contexts that can be frozen and tested."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.dictionary.examples import PADDING

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from transformers import PreTrainedTokenizerBase

SHAPES = ("a digit", "punctuation", "a capital", "a word's beginning", "a line break")
KINDS = ("on", "after", "about", "on shape", "after shape")
"""The token itself, the one before it, any word of the context, and the two tokens' shapes."""
PARTIAL = "\ufffd"
"""Stands in a token's text for bytes that are part of a character: many tokens share that text."""


class Vocabulary:
    """A tokenizer's tokens as texts, words and shapes."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self.texts: list[str] = [str(tokenizer.decode([i])) for i in range(len(tokenizer))]
        words = [text.strip().lower() for text in self.texts]
        self.words = sorted(set(words))
        place = {word: number for number, word in enumerate(self.words)}
        self.word_of = np.array([place[word] for word in words])
        """Word of each token, `[vocab]`."""
        self.shapes = np.array([_shape(text) for text in self.texts])
        """`[vocab, len(SHAPES)]`, bool."""
        n_texts, n_shapes = len(self.texts), len(SHAPES)
        sizes = (n_texts, n_texts, len(self.words), n_shapes, n_shapes)
        self.starts = np.cumsum([0, *sizes])
        """First column of each of the `KINDS`, and the number of columns."""

    def atom(self, column: int) -> "Atom":
        """Names a column of `atoms`."""
        kind = int(np.searchsorted(self.starts, column, side="right")) - 1
        names: Sequence[str] = (self.texts, self.texts, self.words, SHAPES, SHAPES)[kind]
        return Atom(KINDS[kind], names[column - int(self.starts[kind])])


class Atom(NamedTuple):
    """One thing that a context may show."""

    kind: str
    """One of `KINDS`."""
    text: str


class Rule(NamedTuple):
    """Fires where the weights of a context's atoms add up to the threshold or more."""

    columns: np.ndarray
    """Columns of `atoms`, `[n]`, int64."""
    weights: np.ndarray
    """`[n]`, float64."""
    threshold: float

    def scores(self, atoms: "csr_matrix") -> np.ndarray:
        """Returns the sum of weights of each context, `[n_contexts]`."""
        return np.asarray(atoms[:, self.columns] @ self.weights)

    def fires(self, atoms: "csr_matrix") -> np.ndarray:
        """Tells for each context whether the rule says that the feature fires, `[n_contexts]`."""
        return self.scores(atoms) >= self.threshold


def atoms(windows: np.ndarray, vocabulary: Vocabulary) -> "csr_matrix":
    """Returns what each context shows, as zeros and ones, `[n_contexts, n_atoms]`."""
    from scipy.sparse import csr_matrix

    n = len(windows)
    starts = vocabulary.starts
    rows, columns = [], []

    def show(row: np.ndarray, column: np.ndarray) -> None:
        rows.append(row)
        columns.append(column)

    everything = np.arange(n)
    for kind, token_ids in enumerate((windows[:, -1], windows[:, -2])):
        known = everything[token_ids != PADDING]
        show(known, starts[kind] + token_ids[known])
        row, shape = vocabulary.shapes[token_ids[known]].nonzero()
        show(known[row], starts[3 + kind] + shape)
    row, place = (windows != PADDING).nonzero()
    show(row, starts[2] + vocabulary.word_of[windows[row, place]])
    cells = np.unique(np.concatenate(rows).astype(np.int64) * starts[-1] + np.concatenate(columns))
    position = (cells // starts[-1], cells % starts[-1])
    return csr_matrix((np.ones(len(cells)), position), shape=(n, int(starts[-1])))


def _shape(text: str) -> tuple[bool, ...]:
    bare = text.strip()
    return (
        bare.isdigit(),
        bool(bare) and not any(character.isalnum() for character in bare),
        bare[:1].isupper(),
        text[:1] == " " and bare[:1].isalpha(),
        "\n" in text,
    )
