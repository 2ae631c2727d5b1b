"""What a search is controlled by: words and n-grams, and permuted failures."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from saetask.discovery.hypotheses import Family, word_family
from saetask.discovery.score_tests import block_permutations
from saetask.discovery.search import Log
from saetask.discovery.words import WordPresence, ngram_presence, word_presence

LONGEST = 3
"""Number of words of the longest n-gram."""


class WordFamilies(NamedTuple):
    """Words, and n-grams after them, as hypotheses."""

    families: list[Family]
    all: WordPresence
    """Words and n-grams side by side."""


def word_families(texts: Sequence[str]) -> WordFamilies:
    """Returns the words and n-grams of texts as hypotheses, words first, as concepts are."""
    words, ngrams = word_presence(texts), ngram_presence(texts, LONGEST)
    families = [
        word_family(words.presence, words.terms, "word"),
        word_family(ngrams.presence, ngrams.terms, "n-gram"),
    ]
    return WordFamilies(families, words.beside(ngrams))


def permuted_logs(log: Log, n: int, seed: int) -> list[Log]:
    """Returns the log with its failures permuted, groups as blocks."""
    if not n:
        return []
    orders = block_permutations(log.groups, np.random.default_rng(seed), n)
    return [log._replace(failures=log.failures[order]) for order in orders]
