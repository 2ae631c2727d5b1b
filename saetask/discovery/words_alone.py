"""Whether a slice that a concept found is found by the words of its prompts alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from saetask.discovery.confirmation import N_PERMUTATIONS
from saetask.discovery.score_tests import (
    adjust_failures,
    benjamini_hochberg,
    permutation_p_values,
)
from saetask.discovery.search import Found, Log
from saetask.discovery.words import WordPresence

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
    needs_sae: bool | None = None
    """Whether it tells more, corrected over what is confirmed; None where it is not confirmed."""


def compare_with_words(
    found: Found,
    by_words: Sequence[Found],
    words: WordPresence,
    log: Log,
    q: float,
    seed: int,
    n_permutations: int = N_PERMUTATIONS,
) -> list[BeyondWords]:
    """Tells of each hypothesis that was tested whether words tell as much; see `beyond_words`.

    Args:
        found: The hypotheses.
        by_words: What the same search found with words and n-grams, and with classes of words.
        words: The words and n-grams of all prompts.
        log: The log.
        q: False discovery rate of what is confirmed, and of what is said to need the SAE among it.
        seed: Seed of the permutations.
        n_permutations: Number of permutations.
    """
    given = np.hstack([by.presence[:, by.confirmed(q)] for by in by_words])
    beyond = beyond_words(
        found.presence, words.terms, words.presence, given, log, seed, n_permutations
    )
    places: list[int] = np.flatnonzero(found.confirmed(q)).tolist()
    adjusted = benjamini_hochberg(np.array([beyond[i].p_value for i in places]))
    for i, of_one in zip(places, adjusted.tolist()):
        beyond[i] = beyond[i]._replace(needs_sae=of_one <= q)
    return beyond


def beyond_words(
    presence: "Bool[np.ndarray, 'n m']",
    terms: list[str],
    words: "csr_matrix",
    confirmed_words: "Bool[np.ndarray, 'n k']",
    log: Log,
    seed: int,
    n_permutations: int = N_PERMUTATIONS,
) -> list[BeyondWords]:
    """Tests each hypothesis once more on the confirmation half, with its words given.

    A logistic regression on all words and n-grams learns on the discovery half where the hypothesis
    is present. Its log-odds, its probabilities and the slice that it would choose itself (odds
    above 1), and the presence of the words and classes of words that searches with them confirmed,
    are given to the model of failures with the other confounders: only what no sum of words that
    was learnt there accounts for is left to be tested. A word that occurs in the confirmation half
    alone is not accounted for.

    Args:
        presence: Presence of each hypothesis in all prompts.
        terms: The words and n-grams.
        words: Which prompt has which, 0 or 1, `[n, n_terms]`.
        confirmed_words: Presence of what the searches with words, n-grams and classes of words
            confirmed.
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
            given.append(rule.predictions(words))
        adjusted = adjust_failures(
            log.failures[other], np.column_stack(given)[other], log.groups[other]
        )
        generator = np.random.default_rng([seed, number])
        there = column[other, None].astype(float)
        p_value = permutation_p_values(there, adjusted, generator, n_permutations)[0]
        shown = [] if rule is None else rule.strongest(terms)
        results.append(BeyondWords(float(p_value), shown))
    return results


class _WordRule(NamedTuple):
    """A logistic regression of a hypothesis' presence on words."""

    weights: "Float64[np.ndarray, ' n_terms']"
    intercept: float

    def predictions(self, words: "csr_matrix") -> "Float64[np.ndarray, 'n 3']":
        """Returns the log-odds, the probability and the predicted presence in each prompt."""
        from scipy.special import expit

        log_odds = words @ self.weights + self.intercept
        return np.column_stack([log_odds, expit(log_odds), log_odds > 0])

    def strongest(self, terms: list[str]) -> list[str]:
        """Returns the words that tell most of presence."""
        order = np.argsort(-self.weights, kind="stable")[:MOST_WORDS]
        return [terms[i] for i in order if self.weights[i] > 0]


def _word_rule(
    words: "csr_matrix", presence: "Bool[np.ndarray, ' n']", half: np.ndarray
) -> _WordRule | None:
    """Returns the rule; None where there are no words or nothing to tell apart."""
    from sklearn.linear_model import LogisticRegression

    labels, matrix = presence[half], cast("Any", words)
    if not matrix.shape[1] or labels.all() or not labels.any():
        return None
    model = LogisticRegression(C=C, solver="liblinear").fit(matrix[half], labels)
    return _WordRule(model.coef_[0], float(model.intercept_[0]))
