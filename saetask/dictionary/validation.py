"""Labels on trial: does what a label claims hold in documents it was not made from?"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from saetask.dictionary.contexts import draw_contexts
from saetask.dictionary.examples import FiringIndex
from saetask.dictionary.labels import Label
from saetask.dictionary.rules import Vocabulary

Verdict = Literal["validated", "inconsistent", "too rare", "dead", "not judged"]
TEST_FIRING = 120
FEWEST = 30
"""Firing contexts to be had, and contexts claimed by the label, for a verdict."""
PRECISION = 0.9
PRECISION_LOWER = 0.8
"""Lower end of the Wilson interval (95 %)."""


class Trial(NamedTuple):
    """How a feature's label did on test documents."""

    verdict: Verdict
    precision: float
    """Share of the contexts claimed by the label in which the feature fires."""
    precision_lower: float
    """Lower end of its Wilson interval (95 %)."""
    recall: float
    """Share of firing contexts that the label claims."""
    base_rate: float
    """Share of firing contexts among all: what a label that always says yes would reach."""
    n_claimed: int
    n_firing: int
    n_silent: int


def try_labels(
    labels: Sequence[Label],
    test: FiringIndex,
    alive: np.ndarray,
    neighbours: np.ndarray,
    vocabulary: Vocabulary,
    seed: int,
) -> list[Trial]:
    """Tries each label's rule, as it stands, on test documents.

    Args:
        labels: One a feature.
        test: Firings on documents that no label was made from.
        alive: Did the feature fire on any build document? `[d_sae]`, bool.
        neighbours: The nearest other feature of each, `[d_sae]`.
        vocabulary: The model's tokens.
        seed: Seed of the examples drawn.
    """
    from tqdm import tqdm

    trials = []
    for feature, label in enumerate(tqdm(labels, desc="validate")):
        found = draw_contexts(test, feature, neighbours, TEST_FIRING, vocabulary, [seed, 2])
        claimed = label.rule.fires(found.atoms) if label.rule else np.zeros(0, bool)
        trials.append(judge(found.examples.firing, claimed, bool(alive[feature])))
    return trials


def judge(firing: np.ndarray, claimed: np.ndarray, alive: bool) -> Trial:
    """Returns the verdict on a label from what it claims of test contexts.

    Args:
        firing: Does the feature fire? `[n]`, bool.
        claimed: Does the label say so? `[n]`, bool, or empty without a rule.
        alive: Did the feature fire anywhere before?
    """
    from scipy.stats import binomtest

    n_firing, n_silent = int(firing.sum()), int((~firing).sum())
    n_claimed = int(claimed.sum())
    right = int((firing & claimed).sum()) if n_claimed else 0
    lower = binomtest(right, n_claimed).proportion_ci(method="wilson").low if n_claimed else 0.0
    precision = right / n_claimed if n_claimed else 0.0
    holds = precision >= PRECISION and lower >= PRECISION_LOWER and n_claimed >= FEWEST
    verdict: Verdict = "validated" if holds else "inconsistent"
    if n_firing < FEWEST:
        verdict = "too rare" if alive or n_firing else "dead"
    recall, base_rate = right / max(n_firing, 1), n_firing / max(n_firing + n_silent, 1)
    return Trial(verdict, precision, float(lower), recall, base_rate, n_claimed, n_firing, n_silent)


def summarise(trials: Sequence[Trial], firings: np.ndarray) -> dict[str, Any]:
    """Returns the share of labels validated, and what share of firings they explain.

    Args:
        trials: One a feature.
        firings: How often each feature fired on the test documents, `[d_sae]`.
    """
    verdicts = [trial.verdict for trial in trials]
    tested = [t for t in trials if t.verdict in ("validated", "inconsistent")]
    explained = sum(
        n * trial.recall
        for n, trial in zip(firings.tolist(), trials)
        if trial.verdict == "validated"
    )
    return {
        "n_features": len(trials),
        "n_tested": len(tested),
        "verdicts": {
            v: verdicts.count(v) for v in ("validated", "inconsistent", "too rare", "dead")
        },
        "validated_share": verdicts.count("validated") / max(len(tested), 1),
        "mean_precision": float(np.mean([t.precision for t in tested])) if tested else 0.0,
        "mean_recall": float(np.mean([t.recall for t in tested])) if tested else 0.0,
        "coverage": explained / max(float(firings.sum()), 1.0),
        "precision_floor": PRECISION,
    }
