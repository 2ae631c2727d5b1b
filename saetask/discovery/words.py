"""Words and n-grams of prompts: the control that needs no model."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.data.word_classes import FUNCTION_WORDS, lemma_of, word_lists

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FEWEST_PROMPTS = 5
PATTERN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]")
"""A word, a number, or a sign."""
ANY_FORM = " (any form)"


class WordPresence(NamedTuple):
    """Which words and n-grams each text has."""

    terms: list[str]
    """A word, an n-gram, or `give (any form)` of a word's lemma."""
    presence: "csr_matrix"
    """0 or 1, `[n, n_terms]`, float32."""

    def beside(self, other: "WordPresence") -> "WordPresence":
        """Returns both, the terms of the other one last."""
        from scipy.sparse import hstack

        joined: Any = hstack([self.presence, other.presence], format="csr")
        return WordPresence([*self.terms, *other.terms], joined)


def word_presence(texts: Sequence[str]) -> WordPresence:
    """Returns the words that `FEWEST_PROMPTS` texts have, their lemmas, and which text has which.

    A lemma is left out where all texts that have one of its forms have the lemma itself.
    """
    terms, presence = _counted(texts, _words_and_lemmas, (1, 1))
    counts = dict(zip(terms, presence.getnnz(axis=0).tolist()))
    kept = [
        place
        for place, term in enumerate(terms)
        if not term.endswith(ANY_FORM) or counts[term] != counts.get(term.removesuffix(ANY_FORM))
    ]
    return WordPresence([terms[i] for i in kept], presence[:, kept])


def ngram_presence(texts: Sequence[str], longest: int) -> WordPresence:
    """Returns the n-grams of 2 to `longest` words that `FEWEST_PROMPTS` texts have."""
    return _counted(texts, PATTERN.findall, (2, longest))


def _words_and_lemmas(text: str) -> list[str]:
    words = set(PATTERN.findall(text))
    inflected = {w for w in words if w[0].isalpha()} - word_lists()[FUNCTION_WORDS]
    return [*words, *{lemma_of(word) + ANY_FORM for word in inflected}]


def _counted(
    texts: Sequence[str], split: Callable[[str], list[str]], n_words: tuple[int, int]
) -> WordPresence:
    from sklearn.feature_extraction.text import CountVectorizer

    options: dict[str, Any] = {"tokenizer": split, "token_pattern": None}
    vectorizer = CountVectorizer(ngram_range=n_words, binary=True, **options)
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
