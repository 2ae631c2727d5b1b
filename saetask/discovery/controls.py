"""Controls of a search: words, a random dictionary, and permuted failures."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from saetask.discovery.documents import ControlFound, PermutedFound
from saetask.discovery.hypotheses import Family, word_family
from saetask.discovery.score_tests import block_permutations
from saetask.discovery.search import Found, Log, chosen_hypotheses, search
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


def control_found(families: Sequence[Family], log: Log, q: float, seed: int) -> ControlFound:
    """Returns what the search finds in a log with other hypotheses."""
    (found,) = search(families, [log], seed)
    return found_document(families, found, q)


def found_document(families: Sequence[Family], found: Found, q: float) -> ControlFound:
    """Returns what was found as a part of the summary."""
    confirmed = np.flatnonzero(found.confirmed(q))
    names = [h.name for h in chosen_hypotheses(families, [found.choices[i] for i in confirmed])]
    return ControlFound(n_confirmed=len(names), n_tested=len(found.choices), confirmed=names)


def permuted_found(found: Sequence[Found], q: float) -> PermutedFound:
    """Returns how much was confirmed in permuted failures."""
    counts = [int(each.confirmed(q).sum()) for each in found]
    return PermutedFound(
        mean_confirmed=float(np.mean(counts)) if counts else 0.0,
        share_with_any=float(np.mean(np.array(counts) > 0)) if counts else 0.0,
        n_permutations=len(counts),
    )
