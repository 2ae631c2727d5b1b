"""Figures of detectors on the arm `original`, computed without further requests to the model."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from saetask.detection.base import Finding
from saetask.experiments.scoring import SampleResult
from saetask.report.figures import Auroc, Detection, PairedDifference, ProbeAccuracy
from saetask.utils.auroc import Auroc as Area
from saetask.utils.auroc import auroc, macro_auroc
from saetask.utils.statistics import accuracy_interval, compare


def groups_of(rows: Sequence[SampleResult]) -> list[str]:
    """Returns the group of each row's item."""
    return [row.sample.item.group for row in rows]


def correct_answers(rows: Sequence[SampleResult]) -> np.ndarray:
    """Returns whether each row's answer is right, bool `[item]`."""
    return np.array([row.score.correct for row in rows], dtype=bool)


def raw_correct(rows: Sequence[SampleResult]) -> np.ndarray:
    """Returns whether each row's raw answer is right, bool `[item]`."""
    return np.array([row.raw_score.correct for row in rows], dtype=bool)


def summarise_probe_alone(
    original: Sequence[SampleResult],
    own: Sequence[SampleResult],
    findings: Mapping[str, Mapping[str, Finding]],
    seed: int,
) -> ProbeAccuracy | None:
    """Returns how often the most probable reading is right, without asking the model again.

    Items of which no reading is right say nothing about it and are left out, of saetask's accuracy
    as well.

    Args:
        original: Results of the arm `original`.
        own: Results of the arm `saetask`, in the same order.
        findings: By detector and item id; without saetask's, there is nothing to measure.
        seed: Seed of the resamples.
    """
    known = [i for i, row in enumerate(original) if row.sample.gold_reading is not None]
    if not known or "saetask" not in findings:
        return None
    samples = [original[i].sample for i in known]
    right = np.array([findings["saetask"][s.item.id].leading == s.gold_reading for s in samples])
    groups = [sample.group for sample in samples]
    annotated = correct_answers([own[i] for i in known])
    # Where the reading is no answer, the two are right about different questions.
    is_answer = all(row.output in row.scores for row in original)
    comparison = compare(right, annotated, groups, seed)._asdict()
    return ProbeAccuracy(
        n=len(known),
        accuracy=float(right.mean()),
        ci95=accuracy_interval(right, groups, seed),
        saetask=float(annotated.mean()),
        comparison=PairedDifference(**comparison, holm_p=comparison["mcnemar_p"])
        if is_answer
        else None,
    )


def summarise_failures(
    original: Sequence[SampleResult], findings: Mapping[str, Mapping[str, Finding]], seed: int
) -> Detection:
    """Returns how well each detector predicts the wrong answers of the arm `original`.

    Only of items with candidates: in the others the reading that an answer follows is unknown.

    Args:
        original: Results of the arm `original`.
        findings: By detector and item id.
        seed: Seed of the resamples.
    """
    ranked = [row for row in original if row.scores]
    failed = ~correct_answers(ranked)
    groups = groups_of(ranked)

    def measure(score: Callable[[SampleResult], float]) -> Auroc | None:
        scores = np.array([score(row) for row in ranked])
        return _area(auroc(failed, scores, groups, seed)) if ranked else None

    def measure_detector(name: str) -> Auroc | None:
        return measure(lambda row: findings[name][row.sample.item.id].failure)

    measured = {name: measure_detector(name) for name in findings}
    own = measured.pop("saetask", None)
    measured["answer-entropy"] = measure(lambda row: _entropy(row.scores))
    measured["prompt-length"] = measure(lambda row: len(row.written.prompt.content))
    n_wrong = int((~correct_answers(original)).sum())
    return Detection(n_wrong=n_wrong, saetask=own, baselines=measured)


def summarise_readings(
    original: Sequence[SampleResult], findings: Mapping[str, Mapping[str, Finding]], seed: int
) -> Detection:
    """Returns how well each detector predicts the right reading.

    Args:
        original: Results of the arm `original`.
        findings: By detector and item id.
        seed: Seed of the resamples.
    """
    known = [row for row in original if row.sample.gold_reading is not None]
    labels = [row.sample.gold_reading or "" for row in known]
    groups = groups_of(known)

    def measure(name: str) -> Auroc | None:
        probabilities = [findings[name][row.sample.item.id].probabilities for row in known]
        scores = {
            reading: np.array([row.get(reading, 0.0) for row in probabilities])
            for reading in {*labels}
        }
        return _area(macro_auroc(labels, scores, groups, seed)) if known else None

    measured = {name: measure(name) for name in findings}
    return Detection(saetask=measured.pop("saetask", None), baselines=measured)


def _area(area: Area | None) -> Auroc | None:
    return None if area is None else Auroc(auroc=area.value, ci95=area.ci95, n=area.n)


def _entropy(scores: Mapping[str, float]) -> float:
    """Returns the entropy of log-probabilities, in nats."""
    return -sum(math.exp(value) * value for value in scores.values())
