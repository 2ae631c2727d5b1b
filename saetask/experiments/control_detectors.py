"""Every detector of a fold, fitted on the same samples: saetask's own, its controls, baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from saetask.data.samples import Sample
from saetask.detection.base import BaseDetector, Detector, DetectorInput, Finding
from saetask.experiments.context import ExperimentContext
from saetask.experiments.observation import Observation
from saetask.experiments.pipeline import FittedPipeline

OWN = "saetask"
RANDOM_FEATURE, RANDOM_SAE, DENSE_PROBE = "random-feature", "random-sae", "dense-probe"
MATCHED_BLOCK = 20
"""Number of features, neighbours in firing density, that change places among each other."""

Findings = dict[Sample, Finding]


class FoldDetectors(NamedTuple):
    """Findings of each detector in a fold's samples."""

    findings: dict[str, Findings]
    """By detector; samples that were trained on are judged with their group held out."""
    redundant: list[str]
    """Controls that repeat saetask's own findings, because its detector uses no feature."""


def fit_detectors(
    context: ExperimentContext,
    pipeline: FittedPipeline,
    calibration: Sequence[Observation],
    test: Sequence[Observation],
    generator: np.random.Generator,
) -> FoldDetectors:
    """Fits every control on what saetask's detector was fitted on, and applies all of them.

    Args:
        context: Plugins and baselines.
        pipeline: The fold's pipeline, with saetask's own detector.
        calibration: Observations of the fit split that arms are calibrated on.
        test: Observations of the test split.
        generator: Source of randomness for the control features.
    """
    wanted = [*calibration, *test]
    own = {o.sample: pipeline.predict(o) for o in wanted}
    findings = {OWN: own, RANDOM_FEATURE: {}}
    moved = _on_other_features(pipeline, generator)
    for part in (calibration, test):
        n_annotated = sum(bool(own[o.sample].misunderstandings) for o in part)
        inputs = {o.sample: pipeline.input(o) for o in part}
        findings[RANDOM_FEATURE] |= match_annotation_rate(moved, inputs, n_annotated)
    with_features: dict[str, Detector] = {RANDOM_FEATURE: pipeline.detector}
    if all(o.control_features is not None for o in wanted):
        with_features[RANDOM_SAE] = context.make_detector()
        through_control = [_through_control(o) for o in pipeline.trained_on]
        findings[RANDOM_SAE] = _fit_and_apply(
            with_features[RANDOM_SAE],
            pipeline,
            through_control,
            [_through_control(o) for o in wanted],
        )
    for baseline in context.settings.make_baselines():
        findings[baseline.name] = _fit_and_apply(baseline, pipeline, pipeline.trained_on, wanted)
    blind = [name for name, d in with_features.items() if not len(d.feature_ids())]
    return FoldDetectors(findings, blind if RANDOM_FEATURE in blind else [])


def _fit_and_apply(
    detector: BaseDetector,
    pipeline: FittedPipeline,
    train: Sequence[Observation],
    wanted: Sequence[Observation],
) -> Findings:
    """Fits a detector and returns its findings, held-out ones where it was trained."""
    held_out = detector.fit(
        [pipeline.input(observation) for observation in train],
        [observation.sample.gold_reading or "" for observation in train],
        [observation.sample.group for observation in train],
    )
    trained = dict(zip((observation.sample for observation in train), held_out))
    return {o.sample: trained.get(o.sample) or detector.detect(pipeline.input(o)) for o in wanted}


def _through_control(observation: Observation) -> Observation:
    """Returns the observation as it is read through the random dictionary."""
    assert observation.control_features is not None
    return replace(observation, features=observation.control_features, _pooled={})


def _on_other_features(pipeline: FittedPipeline, generator: np.random.Generator) -> Detector:
    """Returns saetask's detector with its weights moved to other features of like density."""
    trained_on = pipeline.trained_on
    density = np.zeros(trained_on[0].features.d_sae, dtype=np.int64)
    for observation in trained_on:
        density += np.bincount(observation.features.features, minlength=len(density))
    return pipeline.detector.on_features(
        frequency_matched(density, generator),
        [pipeline.input(observation) for observation in trained_on],
        [observation.sample.gold_reading or "" for observation in trained_on],
    )


def match_annotation_rate(
    detector: BaseDetector, inputs: Mapping[Sample, DetectorInput], n: int
) -> Findings:
    """Returns findings with a misunderstanding in the `n` samples most probably answered wrongly.

    A detector without information would find next to nothing, and control for nothing: so as many
    samples are annotated as by saetask, with the most probable reading other than the answer's.
    """
    findings = {sample: detector.detect(given) for sample, given in inputs.items()}
    chosen = set(sorted(findings, key=lambda sample: -findings[sample].failure)[:n])
    for sample, finding in findings.items():
        others = {
            name: probability
            for name, probability in finding.probabilities.items()
            if name != inputs[sample].answer
        }
        stated = []
        if sample in chosen and others:
            best = max(others, key=others.__getitem__)
            explained = detector.explain(inputs[sample], best)
            stated = [explained._replace(probability=finding.failure)]
        findings[sample] = finding._replace(misunderstandings=stated)
    return findings


def frequency_matched(density: np.ndarray, generator: np.random.Generator) -> dict[int, int]:
    """Maps every live feature to another one that fires about as often, one to one.

    Args:
        density: On how many tokens each feature of the SAE fires, `[d_sae]`.
        generator: Source of randomness.
    """
    live = np.flatnonzero(density)
    live = live[np.argsort(density[live], kind="stable")]
    mapping: dict[int, int] = {}
    for block in np.array_split(live, max(1, len(live) // MATCHED_BLOCK)):
        shuffled = generator.permutation(block)
        mapping.update(zip(shuffled.tolist(), np.roll(shuffled, 1).tolist()))
    return mapping
