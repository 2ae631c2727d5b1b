"""An experiment: the same items in every arm, fitted and tried on different groups of items."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.activations import read_together
from saetask.answers import Ask
from saetask.arms import ARMS, GENERIC, PLACEBO, ArmPrompt, fixed_note
from saetask.calibration import fit_calibration
from saetask.corpus import TokenRow
from saetask.detection import Finding
from saetask.dictionary.controls import CALIBRATION_ROWS, random_sae
from saetask.fitting import Apparatus, Material, as_ask, scored_item, try_wordings
from saetask.models import model_tokenizer
from saetask.plans import Plan, make_plan, self_ask
from saetask.prompts import render
from saetask.study import Question, Study

if TYPE_CHECKING:
    from saetask.tasks import Score


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


class Result(NamedTuple):
    """All outcomes, and what was found and chosen."""

    outcomes: list[Outcome]
    findings: dict[str, dict[str, Finding]]
    """Of each detector in each tested item, by item id."""
    selection: list[dict[str, Any]]
    """What was chosen on each fold's fit split."""


def run_experiment(
    apparatus: Apparatus, study: Study, arms: Sequence[str], generate: bool, seed: int
) -> Result:
    """Runs every item through every arm.

    Per fold and on its fit split alone: the detectors are fitted, the wording chosen, and each
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
    material = _read(apparatus, questions, seed)
    asker.ask(_first_asks(questions, arms), "original and fixed notes")
    if "self" in arms:
        asker.ask([self_ask(question.prompt) for question in questions], "the model's own notes")
    pool = sorted({i for fold in study.folds for i in fold.fit if questions[i].candidates})
    trials = try_wordings(apparatus, questions, pool, seed)
    plans = [
        make_plan(apparatus, study, number, material, trials, arms, seed)
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
    return Result(outcomes, _merged(plans, questions), [plan.selection for plan in plans])


def _read(apparatus: Apparatus, questions: Sequence[Question], seed: int) -> Material:
    """Reads every prompt through the SAE and through a frozen random dictionary."""
    tokenizer = model_tokenizer(apparatus.model)
    rows = [
        TokenRow("items", question.item.id, render(tokenizer, question.prompt).token_ids)
        for question in questions[:CALIBRATION_ROWS]
    ]
    control = random_sae(apparatus.model, apparatus.sae, rows, seed)
    prompts = [question.prompt for question in questions]
    read = read_together(apparatus.model, [apparatus.sae, control], prompts)
    return Material(read.features[0], read.raw, read.features[1])


def _merged(plans: Sequence[Plan], questions: Sequence[Question]) -> dict[str, dict[str, Finding]]:
    """Returns each detector's findings in the test items of all folds."""
    merged: dict[str, dict[str, Finding]] = {}
    for plan in plans:
        for name, findings in plan.findings.items():
            by_id = {questions[i].item.id: finding for i, finding in findings.items()}
            merged.setdefault(name, {}).update(by_id)
    return merged


def _first_asks(questions: Sequence[Question], arms: Sequence[str]) -> list[Ask]:
    """Returns what needs no fitting, the prompts of one item side by side."""
    notes = [note for note in (GENERIC, PLACEBO) if note.annotator in arms]
    asks = []
    for question in questions:
        if question.candidates:
            prompts = [question.prompt, *(fixed_note(question.prompt, n).prompt for n in notes)]
            asks += [as_ask(question, prompt) for prompt in prompts]
    return asks


def _all_asks(plans: Sequence[Plan], questions: Sequence[Question]) -> list[Ask]:
    """Returns what every plan asks, the prompts of one item side by side."""
    found: dict[int, list[Ask]] = {}
    for plan in plans:
        for prompts in plan.prompts.values():
            for i, written in prompts.items():
                if questions[i].candidates:
                    found.setdefault(i, []).append(as_ask(questions[i], written.prompt))
    return [ask for i in sorted(found) for ask in found[i]]


def _judge(
    apparatus: Apparatus,
    questions: Sequence[Question],
    number: int,
    plan: Plan,
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
            outcomes.append(Outcome(question, number, arm, written, output, score, scores))
    return outcomes
