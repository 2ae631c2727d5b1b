"""Verdicts on labels, from the contexts that they claim in held-out documents."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from saetask.dictionary.collect.contexts import FiringCounts
from saetask.dictionary.manifest import JudgeFigures, ValidationFigures

if TYPE_CHECKING:
    from jaxtyping import Bool

Verdict = Literal["validated", "inconsistent", "too rare", "dead", "not judged"]
MIN_CONTEXTS = 30
"""Minimum number of strongly firing contexts, and of claimed contexts, for a verdict."""


class Criterion(NamedTuple):
    """Minimum figures that a label must reach, with `MIN_CONTEXTS` claims or more."""

    precision: float
    lower: float
    """Lower end of the precision's Wilson interval (95 %)."""
    recall: float


PRECISE = Criterion(0.9, 0.8, 0.0)
VALIDATED = PRECISE._replace(recall=0.3)
"""Recall is required too: a label that covers few of a feature's contexts does not describe it."""
CHOSEN = Criterion(0.95, 0.9, 0.4)
"""Stricter figures, by which labels are counted as chosen on the selection documents."""


class Trial(NamedTuple):
    """Result of testing a feature's label on held-out documents."""

    verdict: Verdict
    precision: float
    """Share of the contexts claimed by the label in which the feature fires."""
    precision_lower: float
    """Lower end of its Wilson interval (95 %)."""
    recall: float
    """Share of strongly firing contexts that the label claims."""
    recall_weak: float
    """Share of weakly firing contexts that it claims; they do not affect the verdict."""
    base_rate: float
    """Share of firing contexts among all: the precision of a label that claims every context."""
    n_claimed: int
    n_firing: int
    n_silent: int

    def meets(self, criterion: Criterion) -> bool:
        """Returns whether the label reached every figure of a criterion."""
        return (
            self.n_claimed >= MIN_CONTEXTS
            and self.precision >= criterion.precision
            and self.precision_lower >= criterion.lower
            and self.recall >= criterion.recall
        )


def evaluate_claims(
    firing: "Bool[np.ndarray, ' n']",
    silent: "Bool[np.ndarray, ' n']",
    claimed: "Bool[np.ndarray, ' n']",
    alive: bool,
) -> Trial:
    """Returns the verdict on a label, given which of some held-out contexts it claims.

    Args:
        firing: Whether the feature fires strongly in each context.
        silent: Whether it does not fire at all.
        claimed: Whether the label says that it fires.
        alive: Whether the feature fired on any build document.
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
    trials: Sequence[Trial],
    selection: Sequence[Trial],
    counts: FiringCounts,
    judge: JudgeFigures | None = None,
) -> ValidationFigures:
    """Returns the share of labels that were validated, and the share of firings they explain.

    Args:
        trials: One for each feature, on test documents.
        selection: The same on selection documents.
        counts: Number of tokens of the test documents on which each feature fires.
        judge: Figures of the judge, if there was one.
    """

    def share(some: Sequence[Trial], criterion: Criterion) -> float:
        return sum(trial.meets(criterion) for trial in some) / max(len(some), 1)

    verdicts = [trial.verdict for trial in trials]
    tested = [t for t in trials if t.verdict in ("validated", "inconsistent")]
    chosen = [
        trial
        for trial, earlier in zip(trials, selection)
        if trial.n_firing >= MIN_CONTEXTS and earlier.meets(CHOSEN)
    ]
    explained = sum(
        n_strong * trial.recall + n_weak * trial.recall_weak
        for n_strong, n_weak, trial in zip(counts.strong.tolist(), counts.weak.tolist(), trials)
        if trial.verdict == "validated"
    )
    return ValidationFigures(
        n_features=len(trials),
        n_tested=len(tested),
        verdicts={verdict: verdicts.count(verdict) for verdict in get_args(Verdict)},
        validated_share=share(tested, VALIDATED),
        precise_share=share(tested, PRECISE),
        n_chosen=len(chosen),
        chosen_validated_share=share(chosen, VALIDATED),
        mean_precision=float(np.mean([t.precision for t in tested])) if tested else 0.0,
        mean_recall=float(np.mean([t.recall for t in tested])) if tested else 0.0,
        coverage=explained / max(float((counts.strong + counts.weak).sum()), 1.0),
        precision_floor=VALIDATED.precision,
        recall_floor=VALIDATED.recall,
        judge=judge,
    )
