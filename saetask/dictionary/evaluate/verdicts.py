"""Verdicts: did what a label claims hold in documents that it was not made from?"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

Verdict = Literal["validated", "inconsistent", "too rare", "dead", "not judged"]
MIN_CONTEXTS = 30
"""Firing contexts to be had, and contexts claimed by the label, for a verdict."""


class Criterion(NamedTuple):
    """What a label must reach at least, with `MIN_CONTEXTS` claims."""

    precision: float
    lower: float
    """Lower end of the precision's Wilson interval (95 %)."""
    recall: float


PRECISE = Criterion(0.9, 0.8, 0.0)
VALIDATED = PRECISE._replace(recall=0.3)
"""A label that holds in a few of a feature's contexts only does not say what the feature is."""
CHOSEN = Criterion(0.95, 0.9, 0.4)
"""For a label to be chosen in selection documents already: with room to spare."""


class Trial(NamedTuple):
    """How a feature's label did on test documents."""

    verdict: Verdict
    precision: float
    """Share of the contexts claimed by the label in which the feature fires."""
    precision_lower: float
    """Lower end of its Wilson interval (95 %)."""
    recall: float
    """Share of strongly firing contexts that the label claims."""
    recall_weak: float
    """Share of weakly firing contexts that it claims; they count neither for it nor against it."""
    base_rate: float
    """Share of firing contexts among all: what a label that always says yes would reach."""
    n_claimed: int
    n_firing: int
    n_silent: int

    def meets(self, criterion: Criterion) -> bool:
        """Tells whether the label reached all that a criterion asks for."""
        return (
            self.n_claimed >= MIN_CONTEXTS
            and self.precision >= criterion.precision
            and self.precision_lower >= criterion.lower
            and self.recall >= criterion.recall
        )


def evaluate_claims(
    firing: np.ndarray, silent: np.ndarray, claimed: np.ndarray, alive: bool
) -> Trial:
    """Returns the verdict on a label from what it claims of test contexts.

    Args:
        firing: Does the feature fire strongly? `[n]`, bool.
        silent: Does it not fire at all? `[n]`, bool.
        claimed: Does the label say that it fires? `[n]`, bool.
        alive: Did the feature fire anywhere before?
    """
    from scipy.stats import binomtest

    weak = ~firing & ~silent
    n_firing, n_silent = int(firing.sum()), int(silent.sum())
    n_claimed = int((claimed & ~weak).sum())
    right = int((firing & claimed).sum())
    lower = binomtest(right, n_claimed).proportion_ci(method="wilson").low if n_claimed else 0.0
    precision = right / n_claimed if n_claimed else 0.0
    trial = Trial(
        "inconsistent",
        precision,
        float(lower),
        right / max(n_firing, 1),
        float((claimed & weak).sum() / max(weak.sum(), 1)),
        n_firing / max(n_firing + n_silent, 1),
        n_claimed,
        n_firing,
        n_silent,
    )
    if n_firing < MIN_CONTEXTS:
        return trial._replace(verdict="too rare" if alive or n_firing else "dead")
    return trial._replace(verdict="validated") if trial.meets(VALIDATED) else trial


def summarise_trials(
    trials: Sequence[Trial], selection: Sequence[Trial], strong: np.ndarray, weak: np.ndarray
) -> dict[str, Any]:
    """Returns the share of labels validated, and what share of firings they explain.

    Args:
        trials: One a feature, on test documents.
        selection: The same on selection documents.
        strong: How often each feature fired strongly on the test documents, `[d_sae]`.
        weak: How often it fired weakly, `[d_sae]`.
    """

    def share(some: Sequence[Trial], criterion: Criterion) -> float:
        return sum(trial.meets(criterion) for trial in some) / max(len(some), 1)

    verdicts = [trial.verdict for trial in trials]
    tested = [t for t in trials if t.verdict in ("validated", "inconsistent")]
    chosen = [
        t for t, s in zip(trials, selection) if t.n_firing >= MIN_CONTEXTS and s.meets(CHOSEN)
    ]
    explained = sum(
        n_strong * trial.recall + n_weak * trial.recall_weak
        for n_strong, n_weak, trial in zip(strong.tolist(), weak.tolist(), trials)
        if trial.verdict == "validated"
    )
    return {
        "n_features": len(trials),
        "n_tested": len(tested),
        "verdicts": {verdict: verdicts.count(verdict) for verdict in get_args(Verdict)},
        "validated_share": share(tested, VALIDATED),
        "precise_share": share(tested, PRECISE),
        "n_chosen": len(chosen),
        "chosen_validated_share": share(chosen, VALIDATED),
        "mean_precision": float(np.mean([t.precision for t in tested])) if tested else 0.0,
        "mean_recall": float(np.mean([t.recall for t in tested])) if tested else 0.0,
        "coverage": explained / max(float((strong + weak).sum()), 1.0),
        "precision_floor": VALIDATED.precision,
        "recall_floor": VALIDATED.recall,
    }
