"""Every detector of a fold, fitted on the same items: saetask's, its controls and the baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from saetask.data.samples import Sample
from saetask.detection.base import BaseDetector, DetectorInput, Finding
from saetask.detection.baselines import baselines
from saetask.experiments.context import ExperimentContext, Material, make_reading
from saetask.experiments.pipeline import Fitted

RANDOM_FEATURE, RANDOM_SAE, DENSE_PROBE = "random-feature", "random-sae", "dense-probe"


class Lineup(NamedTuple):
    """What each detector finds in a fold's items."""

    finder: BaseDetector
    """saetask's own."""
    readings: dict[int, DetectorInput]
    """What it saw, by item."""
    findings: dict[str, dict[int, Finding]]
    """By detector and item; fit items are judged with their group held out."""
    idle: list[str]
    """Controls that can only find what saetask's own detector finds, as it looks at no feature."""


def line_up(
    context: ExperimentContext,
    samples: Sequence[Sample],
    fitted: Fitted,
    parts: Sequence[Sequence[int]],
    material: Material,
    generator: np.random.Generator,
) -> Lineup:
    """Fits every detector on the fit split and has it judge the items that are wanted.

    Args:
        apparatus: Task, model, SAE and plugins.
        questions: All of them.
        fitted: saetask's own detector; the others are fitted on the items that it was fitted on.
        parts: Items to judge: those of the fit split, those of the test split.
        material: What was read of all questions.
        generator: Source of randomness for the control features.
    """
    known, wanted = fitted.learnt_from, [i for part in parts for i in part]
    golds = [samples[i].gold_reading or "" for i in known]
    groups = [samples[i].item.group for i in known]
    readings = {
        i: make_reading(context, samples, i, material, fitted.original) for i in {*wanted, *known}
    }

    def judge(finder: BaseDetector, seen: Mapping[int, DetectorInput]) -> dict[int, Finding]:
        """Fits one and returns its findings."""
        held_out = dict(zip(known, finder.fit([seen[i] for i in known], golds, groups)))
        return {i: held_out.get(i) or finder.detect(seen[i]) for i in wanted}

    detector = fitted.detector
    controls = {RANDOM_FEATURE: detector}
    own = {i: fitted.findings.get(i) or detector.detect(readings[i]) for i in wanted}
    findings = {"saetask": own}
    mapping = frequency_matched(material.features.density(known), generator)
    moved = detector.on_features(mapping, [readings[i] for i in known], golds)
    findings[RANDOM_FEATURE] = {}
    for part in parts:
        n_annotated = sum(bool(own[i].misunderstandings) for i in part)
        findings[RANDOM_FEATURE] |= match_annotation_rate(
            moved, {i: readings[i] for i in part}, n_annotated
        )
    if material.random is not None:
        through = {
            i: replace(reading, activations=material.random[i], _pools={})
            for i, reading in readings.items()
        }
        controls[RANDOM_SAE] = context.make_detector()
        findings[RANDOM_SAE] = judge(controls[RANDOM_SAE], through)
    for baseline in baselines():
        findings[baseline.name] = judge(baseline, readings)
    blind = [name for name, control in controls.items() if not len(control.feature_ids())]
    idle = blind if RANDOM_FEATURE in blind else []
    return Lineup(detector, readings, findings, idle)


def match_annotation_rate(
    finder: BaseDetector, readings: Mapping[int, DetectorInput], n: int
) -> dict[int, Finding]:
    """Returns findings with a misunderstanding in the `n` items most probably answered wrongly.

    A detector that knows nothing would find next to nothing, and be a control for nothing: this one
    annotates as many items as saetask does, with the most probable reading but the answer's.
    """
    findings = {i: finder.detect(reading) for i, reading in readings.items()}
    chosen = sorted(findings, key=lambda i: -findings[i].failure)[:n]
    for i, finding in findings.items():
        others = {
            name: probability
            for name, probability in finding.probabilities.items()
            if name != readings[i].answer
        }
        found = []
        if i in chosen and others:
            best = max(others, key=others.__getitem__)
            explained = finder.explain(readings[i], best)
            found = [explained._replace(probability=finding.failure)]
        findings[i] = finding._replace(misunderstandings=found)
    return findings


MATCHED_BLOCK = 20
"""Features change places with others among so many neighbours in firing density."""


def frequency_matched(density: np.ndarray, generator: np.random.Generator) -> dict[int, int]:
    """Maps every live feature to another one that fires about as often, one to one.

    Args:
        density: How often each feature of the SAE fires, `[d_sae]`.
        generator: Source of randomness.
    """
    live = np.flatnonzero(density)
    live = live[np.argsort(density[live], kind="stable")]
    mapping: dict[int, int] = {}
    for block in np.array_split(live, max(1, len(live) // MATCHED_BLOCK)):
        shuffled = generator.permutation(block)
        mapping.update(zip(shuffled.tolist(), np.roll(shuffled, 1).tolist()))
    return mapping
