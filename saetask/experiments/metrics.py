"""The figures of `summary.json`, computed from the results of an experiment."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from saetask.detection.baselines import WORDS
from saetask.experiments.closed_loop import CLOSED_LOOP
from saetask.experiments.control_detectors import DENSE_PROBE, OWN, RANDOM_SAES
from saetask.experiments.credit import finding_credit, sae_credit
from saetask.experiments.detection_metrics import (
    correct_answers,
    groups_of,
    raw_correct,
    summarise_failures,
    summarise_probe_alone,
    summarise_readings,
)
from saetask.experiments.runner import ExperimentResult
from saetask.experiments.scoring import SampleResult
from saetask.inference.ranking import likeliest
from saetask.report.arms import ArmSpec
from saetask.report.explanation import Explanation
from saetask.report.figures import (
    AccuracyFigures,
    ArmFigures,
    ArmResult,
    Bias,
    Detection,
    FindingCredit,
    PairedComparison,
    PairedDifference,
    ProbeAccuracy,
    Rounds,
    SAECredit,
    SecondQuestion,
)
from saetask.report.steering import SteeringFigures
from saetask.report.understanding import Understanding
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
    finding_credit: FindingCredit | None
    sae_credit: SAECredit | None
    bias: Bias | None
    probe_alone: ProbeAccuracy | None
    detection: Detection
    reading_detection: Detection
    explanation: Explanation | None
    understanding: Understanding | None
    steering: SteeringFigures | None
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
    arms = results_by_arm(result.results)
    original = arms["original"]
    correct = {arm: correct_answers(rows) for arm, rows in arms.items()}
    raw = {arm: raw_correct(rows) for arm, rows in arms.items() if _is_asked(rows)}
    figures = summarise_arms(arms, seed)
    ranked = any(sample_result.scores for sample_result in original)
    against = compare_with_controls(arms, specs, seed)
    # Without a detector, every score would be that of the model's own answer.
    findings = {} if "detection" in result.left_out else result.findings
    reading_detection = summarise_readings(original, findings, seed)
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
        finding_credit=finding_credit(correct, specs, against, figures),
        sae_credit=sae_credit(correct, raw, groups_of(original), seed),
        bias=summarise_bias(original, result.majorities),
        probe_alone=summarise_probe_alone(original, arms["saetask"], findings, seed),
        detection=summarise_failures(original, findings, seed),
        reading_detection=reading_detection,
        explanation=_with_areas(result.explanation, reading_detection),
        understanding=result.understanding,
        steering=result.steering,
        rounds=_summarise_rounds(correct),
        second_question=_summarise_second(result.second_results, seed),
        not_measured={**({} if ranked else {"detection": NOT_RANKED}), **result.left_out},
    )


def _with_areas(explanation: Explanation | None, readings: Detection) -> Explanation | None:
    """Returns how well concepts explain the findings, with areas of the reading detection."""
    if explanation is None:
        return None
    areas = {
        "auroc": readings.saetask,
        "auroc_dense": readings.baselines.get(DENSE_PROBE),
        "auroc_words": readings.baselines.get(WORDS),
        "auroc_random_sae": readings.baselines.get(RANDOM_SAES[0]),
    }
    known = {name: area.auroc if area else None for name, area in areas.items()}
    return explanation.model_copy(update=known)


def summarise_arms(arms: Mapping[str, Sequence[SampleResult]], seed: int) -> dict[str, ArmFigures]:
    """Returns accuracy and the paired comparison with `original` of each arm.

    Args:
        arms: Results by arm, of the same items in the same order; `original` is one of them.
        seed: Seed of the resamples.
    """
    groups = groups_of(arms["original"])
    calibrated = _accuracies(
        {arm: correct_answers(rows) for arm, rows in arms.items()}, groups, seed
    )
    raw = _accuracies(
        {arm: raw_correct(rows) for arm, rows in arms.items() if _is_asked(rows)}, groups, seed
    )
    figures = {}
    for arm, rows in arms.items():
        entry = ArmFigures(
            n=len(rows),
            annotated=sum(row.written.annotation is not None for row in rows),
            touched=sum(row.written.takes_offset or row.written.answer is not None for row in rows),
            same_notes=_count_same_notes(rows, arms[OWN]) if OWN in arms else None,
            raw=AccuracyFigures(**raw[arm]) if arm in raw else None,
            **calibrated[arm],
        )
        flexible = [row.score.flexible_correct for row in rows]
        if None not in flexible:
            entry.flexible_accuracy = float(np.mean([bool(value) for value in flexible]))
        if entry.fixed is not None and entry.broken is not None:
            changed = (entry.fixed + entry.broken) / len(rows)
            detectable = smallest_detectable_difference(len(rows), changed)
            entry.detectable_difference = detectable if math.isfinite(detectable) else None
        figures[arm] = entry
    return figures


def _is_asked(rows: Sequence[SampleResult]) -> bool:
    """Returns whether the model is asked, so that there are raw answers."""
    return all(row.written.answer is None for row in rows)


def _count_same_notes(rows: Sequence[SampleResult], own: Sequence[SampleResult]) -> int:
    """Returns in how many items an arm's note is that of saetask."""
    notes = [(row.written.annotation, other.written.annotation) for row, other in zip(rows, own)]
    return sum(bool(note and told and note.text == told.text) for note, told in notes)


def _accuracies(
    correct: Mapping[str, np.ndarray], groups: Sequence[str], seed: int
) -> dict[str, dict[str, Any]]:
    """Returns the fields of `AccuracyFigures` for each arm."""
    comparisons = {
        arm: compare(correct["original"], values, groups, seed)
        for arm, values in correct.items()
        if arm != "original"
    }
    corrected = holm({arm: comparison.mcnemar_p for arm, comparison in comparisons.items()})
    figures: dict[str, dict[str, Any]] = {}
    for arm, values in correct.items():
        figures[arm] = {
            "accuracy": float(values.mean()),
            "ci95": accuracy_interval(values, groups, seed),
        }
        if arm in comparisons:
            compared = comparisons[arm]._asdict()
            compared["difference_ci95"] = compared.pop("ci95")
            figures[arm] |= {**compared, "holm_p": corrected[arm]}
    return figures


def compare_with_controls(
    arms: Mapping[str, Sequence[SampleResult]], specs: Sequence[ArmSpec], seed: int
) -> dict[str, PairedComparison]:
    """Returns saetask's paired comparison with each control.

    Args:
        arms: Results by arm, of the same items in the same order.
        specs: Specifications of the arms, in the order of the tables.
        seed: Seed of the resamples.
    """
    names = [spec.name for spec in specs if spec.kind == "control" and spec.name in arms]
    calibrated = _differences({n: correct_answers(arms[n]) for n in [*names, OWN]}, arms, seed)
    asked = [name for name in [*names, OWN] if _is_asked(arms[name])]
    raw = _differences({name: raw_correct(arms[name]) for name in asked}, arms, seed)
    return {
        name: PairedComparison(
            raw=PairedDifference(**raw[name]) if name in raw else None, **calibrated[name]
        )
        for name in names
    }


def _differences(
    correct: Mapping[str, np.ndarray], arms: Mapping[str, Sequence[SampleResult]], seed: int
) -> dict[str, dict[str, Any]]:
    """Returns the fields of `PairedDifference`: saetask minus each of the other arms."""
    groups = groups_of(arms[OWN])
    comparisons = {
        name: compare(values, correct[OWN], groups, seed)
        for name, values in correct.items()
        if name != OWN
    }
    corrected = holm({name: comparison.mcnemar_p for name, comparison in comparisons.items()})
    return {
        name: {**comparison._asdict(), "holm_p": corrected[name]}
        for name, comparison in comparisons.items()
    }


def _likeliest_text(row: SampleResult) -> str:
    """Returns the candidate that the model finds likeliest, also where its answer is generated."""
    texts = list(row.raw_scores)
    return texts[likeliest(list(row.raw_scores.values()), texts, row.sample.id)]


def summarise_bias(original: Sequence[SampleResult], majorities: Sequence[str]) -> Bias | None:
    """Returns what the model says to the original prompts; None where none was ranked.

    Args:
        original: Results of the arm `original`.
        majorities: The most frequent right reading of each fold's training samples.
    """
    ranked = [row for row in original if row.raw_scores]
    if not ranked:
        return None
    said = Counter(
        row.sample.readings[row.sample.texts.index(_likeliest_text(row))] for row in ranked
    )
    chance = [row.sample.correct.mean() for row in ranked]
    majority = [row.sample.gold_reading == majorities[row.fold] for row in ranked]
    return Bias(
        raw_answers={reading: n / len(ranked) for reading, n in said.most_common()},
        chance=float(np.mean(chance)),
        majority=float(np.mean(majority)),
    )


def _summarise_rounds(correct: Mapping[str, np.ndarray]) -> Rounds | None:
    if CLOSED_LOOP not in correct:
        return None
    one, loop = (float(correct[arm].mean()) for arm in ("saetask", CLOSED_LOOP))
    return Rounds(one=one, closed_loop=loop, used="one")


def _summarise_second(results: Sequence[SampleResult], seed: int) -> SecondQuestion | None:
    if not results:
        return None
    arms = results_by_arm(results)
    return SecondQuestion(n=len(arms["original"]), arms=summarise_arms(arms, seed))


def results_by_arm(results: Sequence[SampleResult]) -> dict[str, list[SampleResult]]:
    """Returns the results of each arm, in their order."""
    arms: dict[str, list[SampleResult]] = {}
    for result in results:
        arms.setdefault(result.arm, []).append(result)
    return arms
