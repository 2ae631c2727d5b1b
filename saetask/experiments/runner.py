"""An experiment: the same samples in every arm, fitted and tested on different groups."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from saetask.data.folds import Fold, all_samples
from saetask.detection.base import Finding
from saetask.detection.silent import SilentDetector
from saetask.experiments.answer_length import answer_end
from saetask.experiments.arms import Arm
from saetask.experiments.context import ExperimentContext
from saetask.experiments.control_detectors import count_random_saes
from saetask.experiments.evidence_arms import unwritable
from saetask.experiments.explanation import measure_explanation
from saetask.experiments.fold import FoldState, fit_fold
from saetask.experiments.note_selection import score_notes
from saetask.experiments.observation import observe
from saetask.experiments.scoring import FoldPrompts, PreparedArm, SampleResult, score_folds
from saetask.experiments.second_question import score_second_question
from saetask.experiments.steering_arms import unsteerable
from saetask.experiments.steering_effects import measure_steering
from saetask.experiments.understanding import measure_understanding
from saetask.report.arms import ArmSpec
from saetask.report.explanation import Explanation
from saetask.report.steering import SteeringFigures
from saetask.report.understanding import Understanding
from saetask.utils.progress import stage

OF_CANDIDATES = ("calibrated", "gate-only", "probe-answer")
"""Arms that change which candidate is taken, and no prompt."""
GENERATED_ANSWERS = "Answers were generated: this arm would only choose among candidates."
SEED_STEP = 1_000_003
"""Distance of the seeds of several random dictionaries, so that no other run's seed is one."""


class ExperimentResult(NamedTuple):
    """Results of all samples in all arms, findings, and choices of the fit splits."""

    arms: list[ArmSpec]
    """The arms that were run."""
    results: list[SampleResult]
    second_results: list[SampleResult]
    """Of a second question about the same items, which the note does not answer; often none."""
    findings: dict[str, dict[str, Finding]]
    """Of each detector in each tested item, by item id."""
    selection: list[Mapping[str, Any]]
    """What was chosen on each fold's fit split."""
    majorities: list[str]
    """The most frequent right reading of each fold's training samples."""
    left_out: dict[str, str]
    """Controls that were not run, and `detection` if there is none to measure, and why."""
    explanation: Explanation | None = None
    """How well concepts explain the findings; None if they do not."""
    understanding: Understanding | None = None
    """Whether notes are understood, and whether findings are misreadings."""
    steering: SteeringFigures | None = None
    """Strength and side effects of steering; None if no arm steers."""


def run_experiment(
    contexts: Sequence[ExperimentContext],
    folds: Sequence[Fold],
    arms: Sequence[Arm],
    generate: bool,
    seed: int,
    read_inside: bool = False,
) -> ExperimentResult:
    """Runs every sample through every arm.

    Per fold and on its training samples alone: the detectors are fitted, the note template is
    chosen, and each arm's calibration is fitted.

    Args:
        contexts: Task, model, SAE and plugins; of several SAEs each fold takes one.
        folds: Training and test samples.
        arms: The arms to run, in the order in which they are reported.
        generate: Judge generated answers instead of ranked ones.
        seed: Seed of the control features and of draws.
        read_inside: Read the prompts of every arm at every layer.

    Raises:
        UserError: A prompt is too long, or the detector can not be fitted.
    """
    context = contexts[0]
    states = _fit_folds(contexts, folds, arms, generate, seed)
    left_out = _left_out(context, states, arms, generate)
    kept = [arm for arm in arms if arm.spec.name not in left_out]
    specs = [arm.spec for arm in kept]
    prompts = [_fold_prompts(state, kept) for state in states]
    max_new_tokens = context.settings.answer_tokens if generate else None
    end = answer_end(context.task)
    results = score_folds(context.client, context.task.score, prompts, max_new_tokens, end=end)
    with_train = [(fold, state.fold.train) for fold, state in zip(prompts, states)]
    return ExperimentResult(
        specs,
        results,
        score_second_question(context, with_train, specs, seed),
        _findings_by_id(states, left_out),
        [state.selection for state in states],
        [_majority(fold) for fold in folds],
        left_out,
        measure_explanation(states, seed),
        measure_understanding(states, results, seed, read_inside),
        measure_steering(states, results, seed),
    )


def _fit_folds(
    contexts: Sequence[ExperimentContext],
    folds: Sequence[Fold],
    arms: Sequence[Arm],
    generate: bool,
    seed: int,
) -> list[FoldState]:
    """Reads all samples, and fits each fold on its training samples."""
    context = contexts[0]
    samples = all_samples(folds)
    names = [arm.spec.name for arm in arms]
    random_saes = [seed + number * SEED_STEP for number in range(count_random_saes(names))]
    observations = [
        dict(zip(samples, observe(context, samples, random_saes, generate))) for context in contexts
    ]
    fit_splits = [fold.train for fold in folds]
    note_scores = score_notes(context, fit_splits, seed, generate=generate)
    fixed_notes = {
        arm.spec.name: score_notes(
            replace(context, annotators=[arm.notes]), fit_splits, seed, generate=generate
        )
        for arm in arms
        if arm.notes
    }
    states: list[FoldState] = []
    with stage("fit detectors", len(folds), "fold") as advance:
        for number, fold in enumerate(folds):
            state = fit_fold(
                contexts, number, fold, observations, note_scores, fixed_notes, names, seed
            )
            states.append(state)
            advance(1)
    return states


def _fold_prompts(state: FoldState, arms: Sequence[Arm]) -> FoldPrompts:
    prepared = {arm.spec.name: _prepare(arm, state) for arm in arms}
    return FoldPrompts(state.number, state.fold.test, state.pipeline.bias, prepared)


def _prepare(arm: Arm, state: FoldState) -> PreparedArm:
    """Writes an arm's prompts; at once where all are written alike, as the note may be searched."""
    test, calibration = state.fold.test, state.calibration
    if arm.calibrate is not arm.write:
        return PreparedArm(arm.write(state, test), arm.calibrate(state, calibration), arm.fit)
    written = arm.write(state, [*test, *calibration])
    return PreparedArm(
        {sample: written[sample] for sample in test},
        {sample: written[sample] for sample in calibration},
        arm.fit,
    )


def _majority(fold: Fold) -> str:
    """Returns the right reading that most training samples have; "" if none is known."""
    known = Counter(sample.gold_reading for sample in fold.train if sample.gold_reading is not None)
    return max(sorted(known), key=known.__getitem__, default="")


def _left_out(
    context: ExperimentContext, states: Sequence[FoldState], arms: Sequence[Arm], generate: bool
) -> dict[str, str]:
    """Returns the arms that are not run, and `detection` if there is no detector, and why."""
    names = [arm.spec.name for arm in arms]
    left_out = _redundant_controls(context, states) | unwritable(states, names)
    left_out |= unsteerable(states, names)
    if isinstance(detector := states[0].pipeline.detector, SilentDetector):
        left_out["detection"] = f"No detector is fitted: {detector.silence}."
        print(f"saetask: warning: {left_out['detection']}", file=sys.stderr)
    if generate:
        left_out |= {name: GENERATED_ANSWERS for name in names if name in OF_CANDIDATES}
    return left_out


def _redundant_controls(context: ExperimentContext, states: Sequence[FoldState]) -> dict[str, str]:
    """Returns the controls that repeat saetask's own arm in every fold, and why; warns of them.

    Where they do so in some folds only, features are used, and what they add is measured.
    """
    names = [
        name
        for name in states[0].detectors.redundant
        if all(name in state.detectors.redundant for state in states)
    ]
    detector = context.make_detector().name
    reason = f"The detector {detector} uses no feature, so this arm would be saetask's own again."
    for name in names:
        print(f"saetask: warning: {name} is left out. {reason}", file=sys.stderr)
    return dict.fromkeys(names, reason)


def _findings_by_id(
    states: Sequence[FoldState], left_out: Mapping[str, str]
) -> dict[str, dict[str, Finding]]:
    """Returns each detector's findings in the test samples of all folds."""
    merged: dict[str, dict[str, Finding]] = {}
    for state in states:
        for name, findings in state.detectors.findings.items():
            if name not in left_out:
                by_id = {sample.id: finding for sample, finding in findings.items()}
                merged.setdefault(name, {}).update(by_id)
    return merged
