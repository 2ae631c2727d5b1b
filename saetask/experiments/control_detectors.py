"""Every detector of a fold, fitted on the same samples: saetask's own, its controls, baselines."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from saetask.data.samples import Sample
from saetask.detection.base import BaseDetector, Detector, DetectorInput, Finding
from saetask.experiments.context import ExperimentContext
from saetask.experiments.known_concepts import (
    random_features,
    random_groups,
    restrict_concepts,
)
from saetask.experiments.observation import Observation
from saetask.experiments.pipeline import FittedPipeline
from saetask.saes.activations import FeatureActivations
from saetask.saes.concepts import Concept

OWN = "saetask"
MOVED_WEIGHTS, RANDOM_SUBSET, DENSE_PROBE = "moved-weights", "random-subset", "dense-probe"
RANDOM_SAES = ("random-sae", "random-sae-2", "random-sae-3")
"""Frozen random dictionaries, by seed; the first is always read."""
MATCHED_BLOCK = 20
"""Number of features, neighbours in firing density, that change places among each other."""

Findings = dict[Sample, Finding]


class FoldDetectors(NamedTuple):
    """Findings of each detector in a fold's samples."""

    findings: dict[str, Findings]
    """By detector; samples that were trained on are judged with their group held out."""
    redundant: list[str]
    """Controls that repeat saetask's own findings, because its detector uses no feature."""


def count_random_saes(arms: Collection[str]) -> int:
    """Returns how many random dictionaries these arms need; the first one is always read."""
    return max([0, *(number for number, name in enumerate(RANDOM_SAES) if name in arms)]) + 1


def fit_detectors(
    context: ExperimentContext,
    pipeline: FittedPipeline,
    test: Sequence[Observation],
    arms: Collection[str],
    generator: np.random.Generator,
) -> FoldDetectors:
    """Fits every control on what saetask's detector was fitted on, and applies all of them.

    Concepts hold for the SAE's features. Through a random dictionary, a detector reads random
    groups of its live features instead, of the concepts' sizes; through random features of the
    SAE, those that each concept keeps.

    Args:
        context: Plugins and baselines.
        pipeline: The fold's pipeline, with saetask's own detector.
        test: Observations of the test split.
        arms: Names of the arms that are run.
        generator: Source of randomness for the control features.
    """
    own = {o.sample: pipeline.predict(o) for o in test}
    moved = _on_other_features(pipeline, generator)
    n_annotated = sum(bool(finding.misunderstandings) for finding in own.values())
    inputs = {o.sample: pipeline.input(o) for o in test}
    findings = {OWN: own, MOVED_WEIGHTS: match_annotation_rate(moved, inputs, n_annotated)}
    readers: dict[str, Callable[[Observation], Observation]] = {
        RANDOM_SAES[number]: partial(
            through_control, number=number, instead=_random_concepts(pipeline, number, generator)
        )
        for number in range(len(pipeline.trained_on[0].control_features))
    }
    if RANDOM_SUBSET in arms:
        readers[RANDOM_SUBSET] = partial(_through_subset, kept=_random_subset(pipeline, generator))
    with_features: dict[str, Detector] = {MOVED_WEIGHTS: pipeline.detector}
    for name, read in readers.items():
        with_features[name] = context.make_detector()
        train = [read(o) for o in pipeline.trained_on]
        findings[name] = _fit_and_apply(
            with_features[name], pipeline, train, [read(o) for o in test]
        )
    for baseline in context.settings.make_baselines():
        findings[baseline.name] = _fit_and_apply(baseline, pipeline, pipeline.trained_on, test)
    blind = [name for name, d in with_features.items() if not len(d.feature_ids())]
    return FoldDetectors(findings, blind if MOVED_WEIGHTS in blind else [])


def _fit_and_apply(
    detector: BaseDetector,
    pipeline: FittedPipeline,
    train: Sequence[Observation],
    test: Sequence[Observation],
) -> Findings:
    """Fits a detector and returns its findings in other prompts."""
    detector.fit(
        [pipeline.input(observation) for observation in train],
        [observation.sample.gold_reading or "" for observation in train],
        [observation.sample.group for observation in train],
    )
    return {o.sample: detector.detect(pipeline.input(o)) for o in test}


class RandomConcepts(NamedTuple):
    """Features of a random dictionary in the place of concepts, which hold for the SAE's own."""

    groups: tuple[Concept, ...] = ()
    features: tuple[Concept, ...] = ()
    """In the place of single features with a name."""


NO_RANDOM_CONCEPTS = RandomConcepts()


def through_control(
    observation: Observation, number: int, instead: RandomConcepts = NO_RANDOM_CONCEPTS
) -> Observation:
    """Returns the observation as it is read through a random dictionary."""
    return replace(
        observation,
        features=observation.control_features[number],
        concepts=instead.groups,
        named_features=instead.features,
        _pooled={},
    )


def _random_concepts(
    pipeline: FittedPipeline, number: int, generator: np.random.Generator
) -> RandomConcepts:
    """Returns random live features of a random dictionary, as many as the concepts have.

    For each single feature that is live there is another: a detector may choose among as many. A
    detector that can do without concepts has none: it would prefer random features to others.
    """
    trained_on = pipeline.trained_on
    concepts, named = trained_on[0].concepts, trained_on[0].named_features
    if not getattr(pipeline.detector, "uses_concepts", False):
        return NO_RANDOM_CONCEPTS
    own_live = set(np.flatnonzero(_own_density(pipeline)).tolist())
    n = sum(own_live.issuperset(concept.features) for concept in named)
    live = np.flatnonzero(_density([each.control_features[number] for each in trained_on]))
    d_sae = trained_on[0].control_features[number].d_sae
    (own,) = generator.spawn(1)  # other draws are the same with and without concepts
    groups = tuple(random_groups(concepts, live, d_sae, own))
    features = random_features(n, live, d_sae, own)
    return RandomConcepts(groups, tuple(features))


def _through_subset(observation: Observation, kept: np.ndarray) -> Observation:
    """Returns the observation as it is read through some features of the SAE."""
    features = observation.features.restricted(kept)
    groups, singles = (
        tuple(restrict_concepts(concepts, kept))
        for concepts in (observation.concepts, observation.named_features)
    )
    return replace(
        observation, features=features, concepts=groups, named_features=singles, _pooled={}
    )


def _random_subset(pipeline: FittedPipeline, generator: np.random.Generator) -> np.ndarray:
    """Draws live features: as many as the detector can name, or else half of those it uses."""
    detector, live = pipeline.detector, np.flatnonzero(_own_density(pipeline))
    n_used = detector.summary().get("n_stable_features") or len(detector.feature_ids()) // 2
    return generator.permutation(live)[:n_used]


def _own_density(pipeline: FittedPipeline) -> np.ndarray:
    """Returns on how many tokens of the fit split each feature of the SAE fires, `[d_sae]`."""
    return _density([observation.features for observation in pipeline.trained_on])


def _density(prompts: Sequence[FeatureActivations]) -> np.ndarray:
    """Returns on how many tokens of some prompts each feature fires, `[d_sae]`."""
    density = np.zeros(prompts[0].d_sae, dtype=np.int64)
    for activations in prompts:
        density += np.bincount(activations.features, minlength=len(density))
    return density


def _on_other_features(pipeline: FittedPipeline, generator: np.random.Generator) -> Detector:
    """Returns saetask's detector with its weights moved to other features of like density."""
    trained_on = pipeline.trained_on
    return pipeline.detector.on_features(
        frequency_matched(_own_density(pipeline), generator),
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
