"""The figures of `summary.json`, computed from the results of an experiment."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from saetask.experiments.closed_loop import CLOSED_LOOP
from saetask.experiments.detection_metrics import (
    correct_answers,
    groups_of,
    summarise_failures,
    summarise_probe_alone,
    summarise_readings,
)
from saetask.experiments.runner import ExperimentResult
from saetask.experiments.scoring import SampleResult
from saetask.report.arms import ArmSpec
from saetask.report.figures import (
    ArmFigures,
    ArmResult,
    ArmSpread,
    Detection,
    PairedComparison,
    ProbeAccuracy,
    Rounds,
    SAECredit,
    SecondQuestion,
    SeedSpread,
)
from saetask.utils.statistics import (
    accuracy_interval,
    compare,
    holm,
    smallest_detectable_difference,
)

NOT_RANKED = (
    "No item has candidate answers to rank, so nothing tells which reading its answer follows."
)


class Figures(NamedTuple):
    """The figures that `summary.json` holds of the results of an experiment."""

    arms: dict[str, ArmResult]
    against: dict[str, PairedComparison]
    credit: SAECredit | None
    probe_alone: ProbeAccuracy | None
    detection: Detection
    reading_detection: Detection
    rounds: Rounds | None
    second_question: SecondQuestion | None
    not_measured: dict[str, str]


def summarise(result: ExperimentResult, specs: Sequence[ArmSpec], seed: int) -> Figures:
    """Returns the figures of an experiment.

    Args:
        result: What `run_experiment` returned.
        specs: Specifications of at least the arms that were run, in the order of the tables.
        seed: Seed of the resamples.
    """
    arms = _by_arm(result.results)
    original = arms["original"]
    groups = groups_of(original)
    correct = {arm: correct_answers(rows) for arm, rows in arms.items()}
    figures = summarise_arms(arms, seed)
    ranked = any(sample_result.scores for sample_result in original)
    against = compare_with_controls(correct, specs, groups, seed)
    # Without a detector, every score would be that of the model's own answer.
    findings = {} if "detection" in result.left_out else result.findings
    return Figures(
        arms={
            spec.name: ArmResult(
                **figures[spec.name].to_json(),
                purpose=spec.purpose,
                kind=spec.kind,
                in_sae_credit=spec.in_sae_credit,
            )
            for spec in specs
            if spec.name in figures
        },
        against=against,
        credit=_sae_credit(correct, specs, against),
        probe_alone=summarise_probe_alone(original, arms["saetask"], findings, seed),
        detection=summarise_failures(original, findings, seed),
        reading_detection=summarise_readings(original, findings, seed),
        rounds=_summarise_rounds(correct),
        second_question=_summarise_second(result.second_results, seed),
        not_measured={**({} if ranked else {"detection": NOT_RANKED}), **result.left_out},
    )


def summarise_seeds(runs: Sequence[Sequence[SampleResult]], first: int) -> SeedSpread:
    """Returns the accuracies over repetitions with other folds and samples, of arms in all of them.

    Args:
        runs: The results of each repetition, in the order of their seeds.
        first: The first one's seed.
    """
    accuracies: dict[str, list[float]] = {}
    for results in runs:
        for arm, rows in _by_arm(results).items():
            accuracies.setdefault(arm, []).append(float(correct_answers(rows).mean()))
    arms = {
        arm: ArmSpread(
            accuracy=values, mean=float(np.mean(values)), min=min(values), max=max(values)
        )
        for arm, values in accuracies.items()
        if len(values) == len(runs)
    }
    return SeedSpread(seeds=list(range(first, first + len(runs))), arms=arms)


def summarise_arms(arms: Mapping[str, Sequence[SampleResult]], seed: int) -> dict[str, ArmFigures]:
    """Returns accuracy and the paired comparison with `original` of each arm.

    Args:
        arms: Results by arm, of the same items in the same order; `original` is one of them.
        seed: Seed of the resamples.
    """
    groups = groups_of(arms["original"])
    correct = {arm: correct_answers(rows) for arm, rows in arms.items()}
    comparisons = {
        arm: compare(correct["original"], correct[arm], groups, seed)
        for arm in arms
        if arm != "original"
    }
    corrected = holm({arm: comparison.mcnemar_p for arm, comparison in comparisons.items()})
    figures = {}
    for arm, rows in arms.items():
        entry = ArmFigures(
            n=len(rows),
            annotated=sum(row.written.annotation is not None for row in rows),
            accuracy=float(correct[arm].mean()),
            ci95=accuracy_interval(correct[arm], groups, seed),
        )
        flexible = [row.score.flexible_correct for row in rows]
        if None not in flexible:
            entry.flexible_accuracy = float(np.mean([bool(value) for value in flexible]))
        if arm in comparisons:
            comparison = comparisons[arm]
            changed = (comparison.fixed + comparison.broken) / len(rows)
            detectable = smallest_detectable_difference(len(rows), changed)
            entry.difference = comparison.difference
            entry.difference_ci95 = comparison.ci95
            entry.fixed = comparison.fixed
            entry.broken = comparison.broken
            entry.mcnemar_p = comparison.mcnemar_p
            entry.holm_p = corrected[arm]
            entry.detectable_difference = detectable if math.isfinite(detectable) else None
        figures[arm] = entry
    return figures


def compare_with_controls(
    correct: Mapping[str, np.ndarray], specs: Sequence[ArmSpec], groups: Sequence[str], seed: int
) -> dict[str, PairedComparison]:
    """Returns saetask's paired comparison with each control.

    Args:
        correct: Whether each item is right, bool `[item]`, by arm.
        specs: Specifications of the arms, in the order of the tables.
        groups: Group of each item.
        seed: Seed of the resamples.
    """
    controls = [spec.name for spec in specs if spec.kind == "control" and spec.name in correct]
    comparisons = {arm: compare(correct[arm], correct["saetask"], groups, seed) for arm in controls}
    corrected = holm({arm: comparison.mcnemar_p for arm, comparison in comparisons.items()})
    return {
        arm: PairedComparison(
            difference=comparison.difference,
            ci95=comparison.ci95,
            fixed=comparison.fixed,
            broken=comparison.broken,
            mcnemar_p=comparison.mcnemar_p,
            holm_p=corrected[arm],
        )
        for arm, comparison in comparisons.items()
    }


def _sae_credit(
    correct: Mapping[str, np.ndarray],
    specs: Sequence[ArmSpec],
    against: Mapping[str, PairedComparison],
) -> SAECredit | None:
    """Returns saetask minus the best arm that counts for SAE credit; None if there is none."""
    names = [spec.name for spec in specs if spec.in_sae_credit and spec.name in against]
    if not names:
        return None
    # Of equally good controls the last one, which is the stronger control, is named.
    best = max(reversed(names), key=lambda arm: float(correct[arm].mean()))
    return SAECredit(control=best, difference=against[best].difference, ci95=against[best].ci95)


def _summarise_rounds(correct: Mapping[str, np.ndarray]) -> Rounds | None:
    if CLOSED_LOOP not in correct:
        return None
    one, loop = (float(correct[arm].mean()) for arm in ("saetask", CLOSED_LOOP))
    return Rounds(one=one, closed_loop=loop, used="one")


def _summarise_second(results: Sequence[SampleResult], seed: int) -> SecondQuestion | None:
    if not results:
        return None
    arms = _by_arm(results)
    return SecondQuestion(n=len(arms["original"]), arms=summarise_arms(arms, seed))


def _by_arm(results: Sequence[SampleResult]) -> dict[str, list[SampleResult]]:
    arms: dict[str, list[SampleResult]] = {}
    for result in results:
        arms.setdefault(result.arm, []).append(result)
    return arms
