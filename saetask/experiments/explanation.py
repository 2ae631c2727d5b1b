"""How well concepts explain a detector, by its findings in test items, without the model.

Necessity and sufficiency are the comprehensiveness and sufficiency of ERASER (DeYoung et al. 2020,
arXiv 1911.03429), of the detector's log-odds: features of the concepts that are named for the
reading are silenced, or those of all named concepts left alone, and so are as many random features
that fire in the same text.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from saetask.detection.base import ConceptEvidence, Detector, DetectorInput, Misunderstanding
from saetask.errors import UserError
from saetask.experiments.control_detectors import OWN
from saetask.experiments.described_words import measure_described
from saetask.experiments.fold import FoldState
from saetask.experiments.observation import Observation
from saetask.experiments.trade_off import measure_trade_off
from saetask.report.explanation import Explanation, Faithfulness
from saetask.utils.sign_flips import flip_test

STRONGEST = 5
"""Number of concepts of a prompt whose stability is measured."""


class ExplainedItem(NamedTuple):
    """A test item with a misunderstanding that concepts explain."""

    fold: int
    group: str
    detector: Detector
    given: DetectorInput
    found: Misunderstanding

    def log_odds(self, kept: np.ndarray) -> float:
        """Returns the log-odds of the reading when only some features are left, `[n_kept]`."""
        features = self.given.activations.restricted(kept)
        left = replace(self.given, activations=features, computed={})
        return self.detector.explain(left, self.found.reading).log_odds or 0.0


class Removals(NamedTuple):
    """Log-odds of a reading with features silenced or left alone."""

    whole: float
    without_named: float
    without_random: float
    only_named: float
    only_random: float


def measure_explanation(states: Sequence[FoldState], seed: int) -> Explanation | None:
    """Returns how well concepts explain the findings in test items; None if none has concepts.

    The areas under ROC curves are those of the reading detection, and filled in there.

    Args:
        states: The fitted folds.
        seed: Seed of the random features and of the halves.
    """
    items = [item for state in states for item in _explained(state)]
    if not items:
        return None
    findings = [item.found for item in items]
    named = sum(abs(c.contribution) for m in findings for c in m.concepts)
    validated = sum(
        abs(c.contribution) for m in findings for c in m.concepts if c.verdict == "validated"
    )
    total = named + sum(abs(m.rest or 0.0) for m in findings)
    by_fold = [
        {c.id for item in items if item.fold == state.number for c in item.found.concepts}
        for state in states
    ]
    necessity, sufficiency = measure_faithfulness(items, seed)
    return Explanation(
        detector=states[0].pipeline.detector.name,
        n_concepts=max(map(len, by_fold)),
        k_per_finding=float(np.mean([len(m.concepts) for m in findings])),
        auroc=None,
        auroc_dense=None,
        auroc_words=None,
        auroc_random_sae=None,
        named_share=named / total if total else None,
        validated_share=validated / total if total else None,
        additive_error=max(map(_additive_error, findings)),
        stability=measure_stability(states[0], seed),
        necessity=necessity,
        sufficiency=sufficiency,
        described=measure_described(findings, seed),
        trade_off=measure_trade_off(states, seed),
    )


def _explained(state: FoldState) -> Iterator[ExplainedItem]:
    for sample, finding in state.findings(OWN).items():
        for found in finding.misunderstandings:
            if found.log_odds is not None:
                given = state.pipeline.input(state.observations[sample])
                detector = state.pipeline.detector
                yield ExplainedItem(state.number, sample.group, detector, given, found)


def _additive_error(found: Misunderstanding) -> float:
    parts = (found.rest or 0.0) + sum(concept.contribution for concept in found.concepts)
    return abs((found.log_odds or 0.0) - parts)


def measure_faithfulness(
    items: Sequence[ExplainedItem], seed: int
) -> tuple[Faithfulness, Faithfulness]:
    """Returns necessity and sufficiency of the named concepts' features.

    Args:
        items: Items with a finding.
        seed: Seed of the random features and of the test's sign flips.
    """
    generator = np.random.default_rng(seed)
    removed = [remove_features(item, generator) for item in items]
    groups = [item.group for item in items]
    whole, without_named, without_random, only_named, only_random = np.array(removed).T
    necessity = Faithfulness(
        effect=float(np.mean(whole - without_named)),
        random=float(np.mean(whole - without_random)),
        p=_p_value(without_random - without_named, groups, seed),
    )
    total = float(np.sum(whole))
    sufficiency = Faithfulness(
        effect=float(np.sum(only_named)) / total if total > 0 else None,
        random=float(np.sum(only_random)) / total if total > 0 else None,
        p=_p_value(only_named - only_random, groups, seed),
    )
    return necessity, sufficiency


def remove_features(item: ExplainedItem, generator: np.random.Generator) -> Removals:
    """Returns the log-odds with the named concepts' features removed or alone, and random ones.

    Args:
        item: The item.
        generator: Draws as many random features, of those that fire in the item's text or are
            named.
    """
    concepts = item.found.concepts
    named = _features(concepts)
    speaking_for = _features([concept for concept in concepts if concept.contribution > 0])
    firing = np.union1d(item.given.pooled("text").indices, named)
    removed, left = (
        generator.choice(firing, len(features), replace=False) for features in (speaking_for, named)
    )
    every = np.unique(item.given.activations.features)
    return Removals(
        item.found.log_odds or 0.0,
        *(item.log_odds(np.setdiff1d(every, features)) for features in (speaking_for, removed)),
        *(item.log_odds(features) for features in (named, left)),
    )


def _features(concepts: Sequence[ConceptEvidence]) -> np.ndarray:
    """Returns the firing features of some concepts, ascending."""
    return np.unique([f for concept in concepts for f in concept.features]).astype(int)


def _p_value(differences: np.ndarray, groups: Sequence[str], seed: int) -> float:
    """Returns the p-value of a mean above zero; items of a group count once, with their mean."""
    members: dict[str, list[float]] = {}
    for group, difference in zip(groups, differences.tolist()):
        members.setdefault(group, []).append(difference)
    means = np.array([[np.mean(values)] for values in members.values()])
    return flip_test(means, seed).p_value


def measure_stability(state: FoldState, seed: int) -> float | None:
    """Returns how far detectors that are fitted on two halves of the groups name the same concepts.

    The mean Jaccard index of the `STRONGEST` concepts for the detector's leading reading, over the
    test items of a fold in which either half names any.

    Args:
        state: The fold.
        seed: Seed of the halves.

    Returns:
        0 to 1; None where a half lacks a reading or is too small, or no half names anything.
    """
    trained_on = state.pipeline.trained_on
    groups = sorted({observation.sample.group for observation in trained_on})
    chosen = set(np.random.default_rng(seed).permutation(groups)[: len(groups) // 2].tolist())
    halves = [
        [o for o in trained_on if (o.sample.group in chosen) == inside] for inside in (True, False)
    ]
    readings = [{o.sample.gold_reading for o in half} for half in halves]
    if readings[0] != readings[1]:
        return None
    try:
        detectors = [_fitted(state, half) for half in halves]
    except UserError:  # fewer groups than inner folds
        return None
    overlaps = []
    for sample, finding in state.findings(OWN).items():
        given = state.pipeline.input(state.observations[sample])
        first, second = (_strongest(each.explain, given, finding.leading) for each in detectors)
        if either := first | second:
            overlaps.append(len(first & second) / len(either))
    return float(np.mean(overlaps)) if overlaps else None


def _fitted(state: FoldState, observations: Sequence[Observation]) -> Detector:
    detector = state.context.make_detector()
    detector.fit(
        [state.pipeline.input(observation) for observation in observations],
        [observation.sample.gold_reading or "" for observation in observations],
        [observation.sample.group for observation in observations],
    )
    return detector


def _strongest(
    explain: Callable[[DetectorInput, str], Misunderstanding], given: DetectorInput, reading: str
) -> set[str]:
    """Returns the ids of the concepts that weigh most in a prompt, for or against a reading."""
    listed = sorted(explain(given, reading).concepts, key=lambda c: -abs(c.contribution))
    return {concept.id for concept in listed[:STRONGEST]}
