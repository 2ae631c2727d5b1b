"""Words and n-grams of prompts: the control that needs no model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FEWEST_PROMPTS = 5
PATTERN = r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]"
"""A word, a number, or a sign."""


class WordPresence(NamedTuple):
    """Which words and n-grams each text has."""

    terms: list[str]
    presence: "csr_matrix"
    """0 or 1, `[n, n_terms]`, float32."""

    def beside(self, other: "WordPresence") -> "WordPresence":
        """Returns both, the terms of the other one last."""
        from scipy.sparse import hstack

        joined: Any = hstack([self.presence, other.presence], format="csr")
        return WordPresence([*self.terms, *other.terms], joined)


def word_presence(texts: Sequence[str], n_words: tuple[int, int]) -> WordPresence:
    """Returns the words (or n-grams) that `FEWEST_PROMPTS` texts have, and which text has which.

    Args:
        texts: The texts.
        n_words: Number of words of the shortest and of the longest n-gram.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(token_pattern=PATTERN, ngram_range=n_words, binary=True)
    try:
        counts: Any = vectorizer.fit_transform(texts)
    except ValueError:  # no text has a word
        return WordPresence([], _empty(len(texts)))
    presence = counts.astype(np.float32)
    kept = np.flatnonzero(presence.getnnz(axis=0) >= FEWEST_PROMPTS)
    names = vectorizer.get_feature_names_out()[kept].tolist()
    return WordPresence(names, presence[:, kept].tocsr())


def _empty(n: int) -> "csr_matrix":
    from scipy.sparse import csr_matrix

    return csr_matrix((n, 0), dtype=np.float32)
