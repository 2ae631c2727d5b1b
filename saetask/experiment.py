"""An experiment: the same items in every arm, fitted and tried on different groups of items."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.activations import FeatureActivations, read_features
from saetask.answers import Ask
from saetask.arms import (
    ARMS,
    GENERIC,
    PLACEBO,
    ArmPrompt,
    Writer,
    fixed_note,
    frequency_matched,
    gold_finding,
)
from saetask.calibration import Calibration, fit_calibration
from saetask.detection import Finding
from saetask.fitting import (
    Apparatus,
    Trials,
    as_ask,
    features_of,
    fit,
    labelled,
    make_reading,
    scored_item,
    try_wordings,
)
from saetask.study import Fold, Question, Study

if TYPE_CHECKING:
    from saetask.tasks import Score

CALIBRATION_ITEMS = 200
"""Fit items, at most, on which an arm's calibration is fitted."""


class Outcome(NamedTuple):
    """One item in one arm."""

    question: Question
    fold: int
    arm: str
    written: ArmPrompt
    output: str
    score: "Score"
    scores: dict[str, float]
    """Calibrated log-probability of each candidate answer."""
    failure: float
    """The saetask detector's probability that the original answer is wrong."""


class Result(NamedTuple):
    """All outcomes, and what was chosen on each fold's fit split."""

    outcomes: list[Outcome]
    selection: list[dict[str, Any]]


class _Plan(NamedTuple):
    """A fold with its prompts in every arm."""

    fold: Fold
    original: Calibration
    """Of unannotated prompts."""
    calibrated_on: list[int]
    prompts: dict[str, dict[int, ArmPrompt]]
    failures: dict[int, float]
    selection: dict[str, Any]


def run_experiment(
    apparatus: Apparatus, study: Study, arms: Sequence[str], generate: bool, seed: int
) -> Result:
    """Runs every item through every arm.

    Per fold and on its fit split alone: the detector is fitted, the wording chosen, and each
    arm's calibration fitted (on findings made with the item's own group held out).

    Args:
        apparatus: Task, model, SAE and plugins.
        study: Items and folds.
        arms: Names out of `ARMS`.
        generate: Judge generated answers instead of ranked ones.
        seed: Seed of the control features and of sampling.
    """
    questions, asker = study.questions, apparatus.asker
    # Reading comes first: it refuses a prompt that is too long before anything has been asked.
    activations = read_features(apparatus.model, apparatus.sae, [q.prompt for q in questions])
    asker.ask(_first_asks(questions, arms), "original and fixed notes")
    pool = sorted({i for fold in study.folds for i in fold.fit if questions[i].candidates})
    trials = try_wordings(apparatus, questions, pool, seed)
    plans = [
        _plan(apparatus, study, number, activations, trials, arms, seed)
        for number in range(len(study.folds))
    ]
    asker.ask(_all_asks(plans, questions), "arms")
    if generate:
        written = [
            p[i].prompt for plan in plans for p in plan.prompts.values() for i in plan.fold.test
        ]
        asker.ask((Ask(prompt) for prompt in written), "generate")
    outcomes = [
        outcome
        for number, plan in enumerate(plans)
        for outcome in _judge(apparatus, questions, number, plan, generate)
    ]
    place = {arm: number for number, arm in enumerate(ARMS)}
    outcomes.sort(key=lambda o: (place[o.arm], o.question.item.id))
    return Result(outcomes, [plan.selection for plan in plans])


def _first_asks(questions: Sequence[Question], arms: Sequence[str]) -> list[Ask]:
    """Returns what needs no fitting, the prompts of one item side by side."""
    notes = [note for note in (GENERIC, PLACEBO) if note.annotator in arms]
    asks = []
    for question in questions:
        if question.candidates:
            prompts = [question.prompt, *(fixed_note(question.prompt, n).prompt for n in notes)]
            asks += [as_ask(question, prompt) for prompt in prompts]
    return asks


def _all_asks(plans: Sequence[_Plan], questions: Sequence[Question]) -> list[Ask]:
    """Returns what every plan asks, the prompts of one item side by side."""
    found: dict[int, list[Ask]] = {}
    for plan in plans:
        for prompts in plan.prompts.values():
            for i, written in prompts.items():
                if questions[i].candidates:
                    found.setdefault(i, []).append(as_ask(questions[i], written.prompt))
    return [ask for i in sorted(found) for ask in found[i]]


def _plan(
    apparatus: Apparatus,
    study: Study,
    number: int,
    activations: FeatureActivations,
    trials: Trials,
    arms: Sequence[str],
    seed: int,
) -> _Plan:
    """Fits on a fold's fit split and writes the prompts of every arm."""
    questions, fold = study.questions, study.folds[number]
    generator = np.random.default_rng([seed, number])
    fitted = fit(apparatus, questions, fold.fit, activations, trials)
    calibrated_on = sorted(generator.permutation(fold.fit)[:CALIBRATION_ITEMS].tolist())
    wanted = [*calibrated_on, *fold.test]
    readings = {
        i: make_reading(apparatus, questions[i], activations[i], fitted.original)
        for i in {*wanted, *fitted.findings}
    }
    findings = {i: fitted.findings.get(i) or fitted.detector.detect(readings[i]) for i in wanted}
    controls: dict[int, Finding] = {}
    if "random-feature" in arms:
        mapping = frequency_matched(activations.density(fold.fit), generator)
        known = list(fitted.findings)
        golds = [questions[i].gold_reading or "" for i in known]
        moved = fitted.detector.on_features(mapping, [readings[i] for i in known], golds)
        controls = {i: moved.detect(readings[i]) for i in wanted}
    features = features_of([*findings.values(), *controls.values()])
    shown = apparatus.meanings.shown(features)
    writer = Writer(fitted.annotator, fitted.wording, apparatus.meanings.trusted(features))

    def write(arm: str, i: int) -> ArmPrompt:
        prompt = questions[i].prompt
        match arm:
            case "generic":
                return fixed_note(prompt, GENERIC)
            case "placebo":
                return fixed_note(prompt, PLACEBO)
            case "random-feature":
                return writer.write(prompt, labelled(controls[i], shown).misunderstandings)
            case "saetask":
                return writer.write(prompt, labelled(findings[i], shown).misunderstandings)
            case "oracle":
                return writer.write(prompt, gold_finding(prompt, questions[i].gold_reading))
        return ArmPrompt(prompt, None, [])

    prompts = {arm: {i: write(arm, i) for i in wanted} for arm in arms}
    failures = {i: findings[i].failure for i in fold.test}
    return _Plan(fold, fitted.original, calibrated_on, prompts, failures, fitted.selection)


def _judge(
    apparatus: Apparatus,
    questions: Sequence[Question],
    number: int,
    plan: _Plan,
    generate: bool,
) -> list[Outcome]:
    """Scores a fold's test items in every arm.

    Annotated prompts are calibrated on the arm's annotated fit items; a prompt that an arm leaves
    as it is keeps the answer of the original.
    """
    asker = apparatus.asker
    outcomes = []
    for arm, prompts in plan.prompts.items():
        annotated = fit_calibration(
            [
                scored_item(asker, questions[i], prompts[i].prompt)
                for i in plan.calibrated_on
                if prompts[i].annotation
            ]
        )
        for i in plan.fold.test:
            question, written = questions[i], prompts[i]
            calibration = annotated if written.annotation else plan.original
            scored = scored_item(asker, question, written.prompt)
            values = calibration.apply(scored.scores, scored.readings)
            scores = dict(zip(question.texts, values.tolist()))
            if generate:
                output = asker.output(Ask(written.prompt))
            else:
                output = max(scores, key=scores.__getitem__, default="")
            score = apparatus.task.score(question.item, output)
            failure = plan.failures[i]
            outcomes.append(Outcome(question, number, arm, written, output, score, scores, failure))
    return outcomes
