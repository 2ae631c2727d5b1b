"""What a run's outcomes add up to: the figures of `summary.json`."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from saetask.detection.base import Finding
from saetask.experiments.closed_loop import CLOSED_LOOP
from saetask.experiments.runner import ExperimentResult
from saetask.experiments.scoring import SampleResult
from saetask.report.arms import ArmSpec
from saetask.utils.statistics import (
    Auroc,
    Comparison,
    accuracy_interval,
    auroc,
    compare,
    holm,
    macro_auroc,
    smallest_detectable_difference,
)

NOT_RANKED = (
    "No item has candidate answers to rank, so nothing tells which reading its answer follows."
)


def summarise(result: ExperimentResult, specs: Sequence[ArmSpec], seed: int) -> dict[str, Any]:
    """Returns the figures of a run.

    Args:
        result: What `run_experiment` returned.
        specs: Specifications of at least the arms that were run, in the order of the tables.
        seed: Seed of the resamples.
    """
    arms = _by_arm(result.outcomes)
    original = arms["original"]
    groups = [outcome.sample.item.group for outcome in original]
    correct = {arm: _correct(rows) for arm, rows in arms.items()}
    ranked = any(outcome.scores for outcome in original)
    return {
        "arms": summarise_arms(arms, correct, groups, seed),
        **summarise_controls(correct, specs, groups, seed),
        "probe_alone": _probe_alone(original, arms["saetask"], result.findings["saetask"], seed),
        "detection": summarise_failures(original, result.findings, seed),
        "reading_detection": summarise_readings(original, result.findings, seed),
        "rounds": _summarise_rounds(correct),
        "second_question": _summarise_second(result.second, seed),
        "not_measured": {**result.left_out, **({} if ranked else {"detection": NOT_RANKED})},
    }


def summarise_seeds(runs: Sequence[Sequence[SampleResult]], first: int) -> dict[str, Any]:
    """Returns the accuracies over repetitions with other folds and samples, of arms in all of them.

    Args:
        runs: The outcomes of each repetition, in the order of their seeds.
        first: The first one's seed.
    """
    accuracies: dict[str, list[float]] = {}
    for outcomes in runs:
        for arm, rows in _by_arm(outcomes).items():
            accuracies.setdefault(arm, []).append(float(_correct(rows).mean()))
    arms = {
        arm: {
            "accuracy": found,
            "mean": float(np.mean(found)),
            "min": min(found),
            "max": max(found),
        }
        for arm, found in accuracies.items()
        if len(found) == len(runs)
    }
    return {"seeds": list(range(first, first + len(runs))), "arms": arms}


def _summarise_rounds(correct: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    if CLOSED_LOOP not in correct:
        return None
    one, loop = (float(correct[arm].mean()) for arm in ("saetask", CLOSED_LOOP))
    return {"one": one, "closed_loop": loop, "used": "one"}


def _summarise_second(outcomes: Sequence[SampleResult], seed: int) -> dict[str, Any] | None:
    if not outcomes:
        return None
    arms = _by_arm(outcomes)
    groups = [outcome.sample.item.group for outcome in arms["original"]]
    correct = {arm: _correct(rows) for arm, rows in arms.items()}
    return {"n": len(groups), "arms": summarise_arms(arms, correct, groups, seed)}


def _by_arm(outcomes: Sequence[SampleResult]) -> dict[str, list[SampleResult]]:
    arms: dict[str, list[SampleResult]] = {}
    for outcome in outcomes:
        arms.setdefault(outcome.arm, []).append(outcome)
    return arms


def _correct(rows: Sequence[SampleResult]) -> np.ndarray:
    return np.array([outcome.score.correct for outcome in rows], dtype=bool)


def summarise_arms(
    arms: Mapping[str, Sequence[SampleResult]],
    correct: Mapping[str, np.ndarray],
    groups: Sequence[str],
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Returns accuracy and the paired comparison with `original` of each arm."""
    compared = {
        arm: compare(correct["original"], correct[arm], groups, seed)
        for arm in arms
        if arm != "original"
    }
    corrected = holm({arm: comparison.mcnemar_p for arm, comparison in compared.items()})
    summary: dict[str, dict[str, Any]] = {}
    for arm, rows in arms.items():
        entry: dict[str, Any] = {
            "n": len(rows),
            "annotated": sum(outcome.written.annotation is not None for outcome in rows),
            "accuracy": float(correct[arm].mean()),
            "ci95": list(accuracy_interval(correct[arm], groups, seed)),
        }
        flexible = [outcome.score.flexible_correct for outcome in rows]
        if None not in flexible:
            entry["flexible_accuracy"] = float(np.mean([bool(value) for value in flexible]))
        if arm in compared:
            found = compared[arm]
            changed = (found.fixed + found.broken) / len(rows)
            detectable = smallest_detectable_difference(len(rows), changed)
            entry |= _figures(found, "difference_ci95")
            entry["holm_p"] = corrected[arm]
            entry["detectable_difference"] = detectable if math.isfinite(detectable) else None
        summary[arm] = entry
    return summary


def summarise_controls(
    correct: Mapping[str, np.ndarray], specs: Sequence[ArmSpec], groups: Sequence[str], seed: int
) -> dict[str, Any]:
    """Returns saetask's paired comparison with each control, and the credit due to the SAE."""
    controls = [spec.name for spec in specs if spec.kind == "control" and spec.name in correct]
    compared = {arm: compare(correct[arm], correct["saetask"], groups, seed) for arm in controls}
    corrected = holm({arm: comparison.mcnemar_p for arm, comparison in compared.items()})
    found: dict[str, Any] = {
        "against": {
            arm: {**_figures(comparison, "ci95"), "holm_p": corrected[arm]}
            for arm, comparison in compared.items()
        }
    }
    credited = [spec.name for spec in specs if spec.in_sae_credit and spec.name in compared]
    if credited:
        # Of equally good controls the one that comes last, which asks more of saetask, counts.
        best = max(reversed(credited), key=lambda arm: float(correct[arm].mean()))
        comparison = compared[best]
        found["credit"] = {
            "control": best,
            "difference": comparison.difference,
            "ci95": list(comparison.ci95),
        }
    return found


def _figures(comparison: Comparison, interval: str) -> dict[str, Any]:
    return {
        "difference": comparison.difference,
        interval: list(comparison.ci95),
        "fixed": comparison.fixed,
        "broken": comparison.broken,
        "mcnemar_p": comparison.mcnemar_p,
    }


def _probe_alone(
    original: Sequence[SampleResult],
    own: Sequence[SampleResult],
    findings: Mapping[str, Finding],
    seed: int,
) -> dict[str, Any] | None:
    """Returns how often the most probable reading is right, no model being asked again.

    Items that no single reading leads to the answer of say nothing of it and are left out, of
    saetask's accuracy beside it as well.
    """
    known = [i for i, outcome in enumerate(original) if outcome.sample.gold_reading is not None]
    if not known:
        return None
    samples = [original[i].sample for i in known]
    right = np.array([findings[q.item.id].leading == q.gold_reading for q in samples])
    return {
        "n": len(known),
        "accuracy": float(right.mean()),
        "ci95": list(accuracy_interval(right, [q.item.group for q in samples], seed)),
        "saetask": float(_correct([own[i] for i in known]).mean()),
    }


def summarise_failures(
    original: Sequence[SampleResult], findings: Mapping[str, Mapping[str, Finding]], seed: int
) -> dict[str, Any]:
    """Returns how well wrong answers of the original arm were predicted, by each detector.

    Only of items whose candidates were ranked: of the others nothing tells which reading the answer
    follows, and every detector says that it is wrong.
    """
    ranked = [outcome for outcome in original if outcome.scores]
    failed = ~_correct(ranked)
    groups = [outcome.sample.item.group for outcome in ranked]

    def entry(score: Callable[[SampleResult], float]) -> dict[str, Any] | None:
        scores = np.array([score(outcome) for outcome in ranked])
        return _area(auroc(failed, scores, groups, seed)) if ranked else None

    def failure(name: str) -> dict[str, Any] | None:
        return entry(lambda outcome: findings[name][outcome.sample.item.id].failure)

    measured = {name: failure(name) for name in findings}
    own = measured.pop("saetask")
    measured["answer-entropy"] = entry(lambda outcome: _entropy(outcome.scores))
    measured["prompt-length"] = entry(lambda outcome: len(outcome.written.prompt.content))
    n_wrong = int((~_correct(original)).sum())
    return {"n_wrong": n_wrong, "saetask": own, "baselines": measured}


def summarise_readings(
    original: Sequence[SampleResult], findings: Mapping[str, Mapping[str, Finding]], seed: int
) -> dict[str, Any]:
    """Returns how well the right reading was told from the others, by each detector."""
    known = [outcome for outcome in original if outcome.sample.gold_reading is not None]
    outcomes = [outcome.sample.gold_reading or "" for outcome in known]
    groups = [outcome.sample.item.group for outcome in known]

    def entry(name: str) -> dict[str, Any] | None:
        found = [findings[name][outcome.sample.item.id].probabilities for outcome in known]
        classes = {
            reading: np.array([row.get(reading, 0.0) for row in found]) for reading in {*outcomes}
        }
        return _area(macro_auroc(outcomes, classes, groups, seed)) if known else None

    measured = {name: entry(name) for name in findings}
    return {"saetask": measured.pop("saetask"), "baselines": measured}


def _area(found: Auroc | None) -> dict[str, Any] | None:
    if found is None:
        return None
    interval = list(found.ci95) if found.ci95 else None
    return {"auroc": found.value, "ci95": interval, "n": found.n}


def _entropy(scores: dict[str, float]) -> float:
    return -sum(math.exp(value) * value for value in scores.values())
