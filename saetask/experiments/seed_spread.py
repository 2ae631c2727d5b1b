"""How far the accuracies of arms are apart over repetitions with other seeds."""

from collections.abc import Sequence

import numpy as np

from saetask.experiments.detection_metrics import correct_answers
from saetask.experiments.metrics import results_by_arm
from saetask.experiments.scoring import SampleResult
from saetask.report.seed_spread import ArmSpread, SeedSpread


def summarise_seeds(runs: Sequence[Sequence[SampleResult]], first: int) -> SeedSpread:
    """Returns the accuracies over repetitions with other folds and samples, of arms in all of them.

    Args:
        runs: The results of each repetition, in the order of their seeds.
        first: The first one's seed.
    """
    accuracies: dict[str, list[float]] = {}
    for results in runs:
        for arm, rows in results_by_arm(results).items():
            accuracies.setdefault(arm, []).append(float(correct_answers(rows).mean()))
    arms = {
        arm: ArmSpread(
            accuracy=values, mean=float(np.mean(values)), min=min(values), max=max(values)
        )
        for arm, values in accuracies.items()
        if len(values) == len(runs)
    }
    return SeedSpread(seeds=list(range(first, first + len(runs))), arms=arms)
