"""Whether a slice that a concept found is found by the words of its prompts alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.discovery.confirmation import N_PERMUTATIONS
from saetask.discovery.score_tests import adjust_failures, permutation_p_values
from saetask.discovery.search import Log

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64
    from scipy.sparse import csr_matrix

MOST_WORDS = 5
"""Number of words that are shown of a rule."""
C = 1.0
"""Inverse strength of the L2 penalty of the rules."""


class BeyondWords(NamedTuple):
    """What a hypothesis tells that words do not."""

    p_value: float
    """One-sided, of its presence when what words tell of it is given."""
    words: list[str]
    """What words would look for in its place, the most telling first."""


def beyond_words(
    presence: "Bool[np.ndarray, 'n m']",
    terms: Sequence[str],
    words: "csr_matrix",
    confirmed_words: "Bool[np.ndarray, 'n k']",
    log: Log,
    seed: int,
    n_permutations: int = N_PERMUTATIONS,
) -> list[BeyondWords]:
    """Tests each hypothesis once more on the confirmation half, with its words given.

    A logistic regression on all words and n-grams learns on the discovery half where the hypothesis
    is present. Its log-odds on the confirmation half, and the presence of the words that the search
    with words confirmed, are given to the model of failures with the other confounders: only what
    no sum of words that was learnt there accounts for is left to be tested. A word that occurs in
    the confirmation half alone is not accounted for.

    Args:
        presence: Presence of each hypothesis in all prompts.
        terms: The words and n-grams.
        words: Which prompt has which, 0 or 1, `[n, n_terms]`.
        confirmed_words: Presence of the words and n-grams that the search with words confirmed.
        log: The log.
        seed: Seed of the permutations.
        n_permutations: Number of permutations.
    """
    half, other = log.halves
    results = []
    for number, column in enumerate(presence.T):
        rule = _word_rule(words, column, half)
        given = [log.confounders, confirmed_words.astype(float)]
        if rule is not None:
            given.append(np.asarray(words @ rule)[:, None])
        adjusted = adjust_failures(
            log.failures[other], np.column_stack(given)[other], log.groups[other]
        )
        generator = np.random.default_rng([seed, number])
        there = column[other, None].astype(float)
        p_value = permutation_p_values(there, adjusted, generator, n_permutations)[0]
        order = [] if rule is None else np.argsort(-rule, kind="stable")[:MOST_WORDS]
        shown = [terms[i] for i in order if rule is not None and rule[i] > 0]
        results.append(BeyondWords(float(p_value), shown))
    return results


def _word_rule(
    words: "csr_matrix", presence: "Bool[np.ndarray, ' n']", half: np.ndarray
) -> "Float64[np.ndarray, ' n_terms'] | None":
    """Returns the weight of each word; None where there are no words or nothing to tell apart."""
    from sklearn.linear_model import LogisticRegression

    labels = presence[half]
    if not words.shape[1] or labels.all() or not labels.any():
        return None
    model = LogisticRegression(C=C, solver="liblinear").fit(words[half], labels)
    return model.coef_[0]
