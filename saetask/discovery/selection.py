"""Choosing hypotheses on the discovery half: screening, then a sparse joint model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.discovery.hypotheses import Family
from saetask.discovery.score_tests import (
    AdjustedFailures,
    benjamini_hochberg,
    residuals,
    screening_statistics,
)

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Float64

SHARES = (1.0, 0.5, 0.35, 0.2, 0.1, 0.05, 0.02)
"""A threshold is tried for each: the score that this share of the prompts exceeds; 0 for all."""
LEAST_SHARE, FEWEST, LARGEST_SHARE = 0.01, 5, 0.9
"""Shares and number of the half's prompts in which a hypothesis has to be present to be tried."""
COLUMNS_AT_A_TIME = 512
"""Bounds memory; results do not depend on it."""
SCREENING_Q = 0.5
"""False discovery rate of the screening. Errors are caught on the other half, so a strict one would
only cost power: what is found there is controlled at the rate that is asked for."""
MOST_CANDIDATES = 100
"""Maximum number of hypotheses of a family that enter the joint model, the most telling first."""
MOST_CHOSEN = 20
JOINT_P = 0.05
"""One-sided p-value that a candidate needs beside those chosen before it."""
MERGED_CORRELATION = 0.2
"""A candidate that is not chosen is merged with the chosen one that it correlates with most, from
this correlation on."""


class Screening(NamedTuple):
    """The best threshold of each hypothesis of a family, on the discovery half."""

    thresholds: "Float32[np.ndarray, ' m']"
    """A hypothesis is present in a prompt where its score is above."""
    statistics: "Float64[np.ndarray, ' m']"
    """Of presence against failure; minus infinity where no threshold leaves enough prompts."""
    p_values: "Float64[np.ndarray, ' m']"
    """One-sided, corrected for the number of thresholds; 1 where there is none."""


class Choice(NamedTuple):
    """A hypothesis chosen on the discovery half."""

    family: int
    column: int
    threshold: float
    merged: tuple[tuple[int, int], ...] = ()
    """Family and column of candidates that tell no more than this one does."""


class _Candidate(NamedTuple):
    family: int
    column: int
    presence: "Float64[np.ndarray, ' n']"


def presence_of(
    families: Sequence[Family], choices: Sequence[Choice]
) -> "Bool[np.ndarray, 'n n_choices']":
    """Returns in which prompts each chosen hypothesis is present."""
    columns = [families[c.family].columns([c.column])[:, 0] > c.threshold for c in choices]
    n = len(families[0].columns([]))
    return np.column_stack(columns) if columns else np.empty((n, 0), dtype=bool)


def screen(
    family: Family,
    basis: "Float64[np.ndarray, 'n k']",
    outcomes: "Float64[np.ndarray, 'n r']",
) -> list[Screening]:
    """Returns the best threshold of each hypothesis, for each of several outcomes.

    Args:
        family: The hypotheses, on the discovery half.
        basis: Of the confounders.
        outcomes: What the confounders leave of each outcome.
    """
    from scipy.stats import norm

    width = family.width
    blocks = [
        _best_thresholds(family.columns(slice(first, first + COLUMNS_AT_A_TIME)), basis, outcomes)
        for first in range(0, width, COLUMNS_AT_A_TIME)
    ]
    if not blocks:
        blocks = [_best_thresholds(np.empty((len(basis), 0), np.float32), basis, outcomes)]
    thresholds = np.concatenate([block.thresholds for block in blocks], axis=1)
    best = np.concatenate([block.statistics for block in blocks], axis=1)
    n_tried = np.concatenate([block.n_tried for block in blocks])
    p_values = np.where(n_tried > 0, np.minimum(1, n_tried * norm.sf(best)), 1)
    return [Screening(*each) for each in zip(thresholds, best, p_values)]


class _Best(NamedTuple):
    thresholds: "Float32[np.ndarray, 'r m']"
    statistics: "Float64[np.ndarray, 'r m']"
    n_tried: "Float64[np.ndarray, ' m']"


def _best_thresholds(
    scores: "Float32[np.ndarray, 'n m']",
    basis: "Float64[np.ndarray, 'n k']",
    outcomes: "Float64[np.ndarray, 'n r']",
) -> _Best:
    n, m = scores.shape
    ranks = [n - 1 - int(share * n) for share in SHARES[1:]]
    ordered = np.partition(scores, ranks, axis=0)
    shape = (outcomes.shape[1], m)
    best, chosen = np.full(shape, -np.inf), np.zeros(shape, np.float32)
    n_tried, before = np.zeros(m), np.full(m, -1, np.float32)
    for thresholds in (np.zeros(m, np.float32), *np.maximum(ordered[ranks], 0)):
        presence = (scores > thresholds).astype(np.float32)
        counts = presence.sum(0)
        usable = (counts >= max(FEWEST, LEAST_SHARE * n)) & (counts <= LARGEST_SHARE * n)
        usable &= thresholds != before
        statistics = screening_statistics(presence, basis, outcomes).T.astype(float)
        better = usable & (statistics > best)
        best, chosen = np.where(better, statistics, best), np.where(better, thresholds, chosen)
        n_tried += usable
        before = thresholds
    return _Best(chosen, best, n_tried)


def choose(
    families: Sequence[Family], screenings: Sequence[Screening], adjusted: AdjustedFailures
) -> list[Choice]:
    """Returns at most `MOST_CHOSEN` hypotheses that tell failures side by side.

    Forward selection by score tests, one family after the other: of the candidates that the
    screening leaves, the one with the largest statistic given the confounders and those chosen
    before it, until none is significant.

    Args:
        families: The hypotheses on the discovery half, the first family first.
        screenings: Of each family.
        adjusted: The failures on the discovery half.
    """
    from scipy.stats import norm

    chosen: list[_Candidate] = []
    left_over: list[_Candidate] = []
    basis = adjusted.basis
    for number, (family, screening) in enumerate(zip(families, screenings)):
        candidates = _candidates(number, family, screening)
        while candidates and len(chosen) < MOST_CHOSEN:
            residual = residuals(adjusted.residual, basis)
            columns = np.column_stack([candidate.presence for candidate in candidates])
            statistics = screening_statistics(columns, basis, residual[:, None])[:, 0]
            best = int(np.argmax(statistics))
            if statistics[best] < norm.isf(JOINT_P):
                break
            chosen.append(candidates.pop(best))
            rest = residuals(chosen[-1].presence, basis)
            basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
        left_over += candidates
    merged = _merged(chosen, left_over)
    return [
        Choice(c.family, c.column, float(screenings[c.family].thresholds[c.column]), others)
        for c, others in zip(chosen, merged)
    ]


def _candidates(number: int, family: Family, screening: Screening) -> list[_Candidate]:
    passed = benjamini_hochberg(screening.p_values) <= SCREENING_Q
    order = np.argsort(-screening.statistics, kind="stable")[:MOST_CANDIDATES]
    columns = [int(column) for column in order if passed[column]]
    presence = (family.columns(columns) > screening.thresholds[columns]).astype(float)
    return [_Candidate(number, column, p) for column, p in zip(columns, presence.T)]


def _merged(
    chosen: Sequence[_Candidate], left_over: Sequence[_Candidate]
) -> list[tuple[tuple[int, int], ...]]:
    """Returns, for each that was chosen, the others that are present in the same prompts."""
    merged: list[list[tuple[int, int]]] = [[] for _ in chosen]
    for other in left_over if chosen else ():
        correlations = [np.corrcoef(c.presence, other.presence)[0, 1] for c in chosen]
        best = int(np.argmax(correlations))
        if correlations[best] >= MERGED_CORRELATION:
            merged[best].append((other.family, other.column))
    return [tuple(each) for each in merged]


def n_tried(family: Family) -> int:
    """Returns the number of hypotheses that are present in enough prompts to be tried."""
    scores: Any = family.scores
    return int(((scores > 0).sum(0) >= FEWEST).sum())
