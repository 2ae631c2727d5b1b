"""Trials of names: what is shown is tried, as a predicate, on unseen documents."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from saetask.dictionary.collect.contexts import ActivationIndex
from saetask.dictionary.concept_table import TriedConcept
from saetask.dictionary.manifest import NamingFigures
from saetask.dictionary.naming.feature_names import MIN_FIRINGS, MIN_LIFT, FeatureNames

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from scipy.sparse import csc_matrix

UNNAMED: Final = "no known concept"
"""Verdict on a feature for which no name was found, and what it is called."""
NameVerdict = Literal["validated", "weak", "not confirmed", "too rare", "no known concept"]
"""`weak`: the name tells where the feature fires, beyond chance, but leaves much of it untold."""
MAX_FIRINGS = 400
"""Maximum number of firings of a feature that are tried, drawn from all of its activations."""
MIN_AUROC, MIN_LOWER = 0.65, 0.6
"""Area under the curve that a validated name must reach, and the lower end of its interval (95 %).
"""
MIN_WEAK_LOWER = 0.5
Z = 1.959963984540054


class NameTrial(NamedTuple):
    """Result of trying a feature's name on unseen documents."""

    verdict: NameVerdict
    auroc: float
    """Area under the curve: firing against silent tokens, half of which are hard."""
    lower: float
    """Lower end of its 95 % interval (normal approximation of two proportions)."""
    recall: float
    """Share of the feature's firings, of all strengths, at which the name holds."""
    precision: float
    """Share of the tokens where the name holds on which the feature fires, as texts have them."""
    n_firing: int


def try_names(
    names: FeatureNames, index: ActivationIndex, holds: "csc_matrix", seed: int
) -> list[NameTrial]:
    """Tries the name of each feature.

    As many silent tokens as firing ones are drawn; half of them are hard: half of these have a
    token on which the feature fires elsewhere, half one on which its nearest neighbour fires.

    Args:
        names: The names; see `choose_names`.
        index: Activations on documents that no name was chosen on.
        holds: Where the predicates hold in these, `[n_tokens, n_predicates]`.
        seed: Seed of the tokens drawn.
    """
    return [
        _try_name(feature, predicate, index, holds, seed)
        for feature, predicate in enumerate(names.predicate.tolist())
    ]


def _try_name(
    feature: int, predicate: int, index: ActivationIndex, holds: "csc_matrix", seed: int
) -> NameTrial:
    firing = index.tokens_firing(feature)
    if predicate < 0:
        return NameTrial(UNNAMED, 0.5, 0.5, 0.0, 0.0, len(firing))
    holding = holds.indices[holds.indptr[predicate] : holds.indptr[predicate + 1]]
    n_both = len(np.intersect1d(firing, holding, assume_unique=True))
    precision = n_both / max(len(holding), 1)
    if len(firing) < MIN_FIRINGS:
        return NameTrial("too rare", 0.5, 0.5, 0.0, precision, len(firing))
    drawn = index.draw_silent(feature, MAX_FIRINGS, [seed, 5])
    recall = _share(drawn.firing, holding)
    false_positives = (_share(drawn.hard, holding) + _share(drawn.random, holding)) / 2
    auroc = (recall + 1 - false_positives) / 2
    errors = (
        recall * (1 - recall) / len(drawn.firing),
        false_positives * (1 - false_positives) / max(len(drawn.hard) + len(drawn.random), 1),
    )
    lower = auroc - Z * np.sqrt(sum(errors)) / 2
    verdict: NameVerdict = "not confirmed"
    if auroc >= MIN_AUROC and lower >= MIN_LOWER:
        verdict = "validated"
    elif lower > MIN_WEAK_LOWER and recall >= MIN_LIFT * false_positives:
        verdict = "weak"
    return NameTrial(verdict, auroc, float(lower), recall, precision, len(firing))


def _share(tokens: "Int[np.ndarray, ' n']", holding: "Int[np.ndarray, ' m']") -> float:
    return float(np.isin(tokens, holding).mean()) if len(tokens) else 0.0


def summarise_names(
    trials: Sequence[NameTrial],
    live: "Bool[np.ndarray, ' d_sae']",
    concepts: Sequence[TriedConcept],
) -> NamingFigures:
    """Returns shares of live features, and of their firings.

    Args:
        trials: One for each feature.
        live: Which features fire often enough to be named.
        concepts: The concepts.
    """
    alive = [trial for trial, is_alive in zip(trials, live) if is_alive]
    validated = [trial for trial in alive if trial.verdict == "validated"]
    n_live, n_firings = max(len(alive), 1), max(sum(trial.n_firing for trial in trials), 1)

    def mean(values: Iterable[float]) -> float:
        return sum(values) / max(len(validated), 1)

    return NamingFigures(
        n_live=len(alive),
        named_share=sum(trial.verdict != UNNAMED for trial in alive) / n_live,
        validated_share=len(validated) / n_live,
        weak_share=sum(trial.verdict == "weak" for trial in alive) / n_live,
        coverage=sum(trial.recall * trial.n_firing for trial in validated) / n_firings,
        mean_precision=mean(trial.precision for trial in validated),
        mean_recall=mean(trial.recall for trial in validated),
        auroc_floor=MIN_AUROC,
        n_concepts=len(concepts),
        n_concepts_validated=sum(each.concept.verdict == "validated" for each in concepts),
    )
