"""An experiment: the same items in every arm, fitted and tried on different groups of items."""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from saetask.annotation.prompt_writer import fixed_note
from saetask.data.corpus import TokenRow
from saetask.data.prompts import render
from saetask.data.samples import Sample, Study
from saetask.detection.base import Finding
from saetask.experiments.arms import GENERIC, PLACEBO
from saetask.experiments.context import ExperimentContext, Material, as_ask
from saetask.experiments.fold import Plan, make_plan
from saetask.experiments.note_selection import try_wordings
from saetask.experiments.scoring import SampleResult, ask_second, judge_all
from saetask.inference.client import MAX_NEW_TOKENS, Ask
from saetask.models.loading import model_tokenizer
from saetask.saes.extraction import extract_features
from saetask.saes.random_sae import CALIBRATION_ROWS, random_sae


class ExperimentResult(NamedTuple):
    """All outcomes, and what was found and chosen."""

    outcomes: list[SampleResult]
    second: list[SampleResult]
    """Of another question about the same items, which the note does not answer; often none."""
    findings: dict[str, dict[str, Finding]]
    """Of each detector in each tested item, by item id."""
    selection: list[dict[str, Any]]
    """What was chosen on each fold's fit split."""
    left_out: dict[str, str]
    """Controls that were not run, and why."""


def run_experiment(
    contexts: Sequence[ExperimentContext],
    study: Study,
    arms: Sequence[str],
    generate: bool,
    seed: int,
) -> ExperimentResult:
    """Runs every item through every arm.

    Per fold and on its fit split alone: the detectors are fitted, the wording chosen, and each
    arm's calibration fitted (on findings made with the item's own group held out).

    Args:
        apparatuses: Task, model, SAE and plugins; of several SAEs each fold takes one.
        study: Items and folds.
        arms: Names out of `ARM_NAMES`.
        generate: Judge generated answers instead of ranked ones.
        seed: Seed of the control features and of sampling.

    Raises:
        UserError: An arm is unknown, or the detector can not be fitted.
    """
    context = contexts[0]
    samples, asker = study.samples, context.asker
    # Reading comes first: it refuses a prompt that is too long before anything has been asked.
    materials = [_read(context, samples, seed) for context in contexts]
    asker.ask(_first_asks(study, arms), "original and fixed notes")
    pool = sorted({i for fold in study.folds for i in fold.fit if samples[i].candidates})
    trials = try_wordings(context, samples, pool, seed)
    plans = [
        make_plan(contexts, study, number, materials, trials, arms, seed)
        for number in range(len(study.folds))
    ]
    left_out = _idle(context, plans)
    plans = [plan.without(left_out) for plan in plans]
    outcomes = judge_all(
        asker, context.task.score, samples, plans, MAX_NEW_TOKENS if generate else None
    )
    return ExperimentResult(
        outcomes,
        ask_second(context, samples, plans, seed),
        _merged(plans, samples),
        [plan.selection for plan in plans],
        left_out,
    )


def _idle(context: ExperimentContext, plans: Sequence[Plan]) -> dict[str, str]:
    """Returns the controls that are saetask's own arm again in every fold, and why, also on stderr.

    Where they are so in some folds only, features are used, and what they add is measured.
    """
    idle = [arm for arm in plans[0].idle if all(arm in plan.idle for plan in plans)]
    name = context.make_detector().name
    reason = f"The detector {name} uses no feature, so this arm would be saetask's own again."
    for arm in idle:
        print(f"saetask: warning: {arm} is left out. {reason}", file=sys.stderr)
    return dict.fromkeys(idle, reason)


def _read(context: ExperimentContext, samples: Sequence[Sample], seed: int) -> Material:
    """Reads every prompt through the SAE and through a frozen random dictionary."""
    tokenizer = model_tokenizer(context.model)
    rows = [
        TokenRow("items", sample.item.id, render(tokenizer, sample.prompt).token_ids)
        for sample in samples[:CALIBRATION_ROWS]
    ]
    control = random_sae(context.model, context.sae, rows, seed)
    prompts = [sample.prompt for sample in samples]
    saes = [context.sae, control]
    read = extract_features(context.model, saes, prompts, context.engine)
    return Material.of(read)


def _merged(plans: Sequence[Plan], samples: Sequence[Sample]) -> dict[str, dict[str, Finding]]:
    """Returns each detector's findings in the test items of all folds."""
    merged: dict[str, dict[str, Finding]] = {}
    for plan in plans:
        for name, findings in plan.findings.items():
            by_id = {samples[i].item.id: finding for i, finding in findings.items()}
            merged.setdefault(name, {}).update(by_id)
    return merged


def _first_asks(study: Study, arms: Sequence[str]) -> list[Ask]:
    """Returns what needs no fitting, the prompts of one item side by side."""
    tested = {i for fold in study.folds for i in fold.test}
    notes = [note for note in (GENERIC, PLACEBO) if note.annotator in arms]
    asks = []
    for i, sample in enumerate(study.samples):
        if sample.candidates and not sample.auxiliary:
            fixed = [fixed_note(sample.prompt, note).prompt for note in notes if i in tested]
            asks += [as_ask(sample, prompt) for prompt in (sample.prompt, *fixed)]
    return asks
