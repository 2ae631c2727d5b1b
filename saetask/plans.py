"""A fold's plan: what was fitted on its fit split, and the prompts of every arm."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from saetask.answers import Ask
from saetask.arms import (
    GENERIC,
    PLACEBO,
    SELF_TOKENS,
    ArmPrompt,
    Writer,
    about,
    fixed_note,
    gold_finding,
    self_note,
    self_request,
)
from saetask.calibration import Calibration
from saetask.detection import Finding, Misunderstanding
from saetask.fitting import Apparatus, Material, Trials, features_of, fit, fit_loss, labelled
from saetask.lineup import DENSE_PROBE, RANDOM_FEATURE, RANDOM_SAE, Lineup, line_up
from saetask.prompt_optimisation import optimised_note
from saetask.prompts import Prompt
from saetask.rounds import close_loop, make_loop
from saetask.sae_encoding import input_hook
from saetask.study import Fold, Question, Study

CALIBRATION_ITEMS = 200
"""Fit items, at most, on which an arm's calibration is fitted."""
CLOSED_LOOP, OPTIMISED = "closed-loop", "optimised-prompt"
FROM_FINDINGS = ("saetask", RANDOM_FEATURE, RANDOM_SAE, DENSE_PROBE)
"""Arms that annotate what the detector of that name finds."""


class Plan(NamedTuple):
    """A fold with its prompts in every arm."""

    fold: Fold
    original: Calibration
    """Of unannotated prompts."""
    calibrated_on: list[int]
    prompts: dict[str, dict[int, ArmPrompt]]
    findings: dict[str, dict[int, Finding]]
    """Of each detector, in the fold's test items."""
    selection: dict[str, Any]


def _self_ask(prompt: Prompt) -> Ask:
    """Returns what is asked for the `self` arm's note."""
    return Ask(self_request(prompt), max_new_tokens=SELF_TOKENS)


def make_plan(
    apparatuses: Sequence[Apparatus],
    study: Study,
    number: int,
    materials: Sequence[Material],
    trials: Trials,
    arms: Sequence[str],
    seed: int,
) -> Plan:
    """Fits on a fold's fit split and writes the prompts of every arm.

    Of several SAEs, that one is taken whose detector does best on the fit split.
    """
    questions, fold = study.questions, study.folds[number]
    generator = np.random.default_rng([seed, number])
    fits = [
        fit(apparatus, questions, fold.fit, material, trials)
        for apparatus, material in zip(apparatuses, materials)
    ]
    losses = [fit_loss(fitted, questions) for fitted in fits]
    best = int(np.argmin(losses))
    apparatus, material, fitted = apparatuses[best], materials[best], fits[best]
    hooks = [input_hook(apparatus.sae) for apparatus in apparatuses]
    tried = [{"hook_name": h, "fit_loss": loss} for h, loss in zip(hooks, losses)]
    selection = {**fitted.selection, "sae": best, "saes": tried}
    calibrated_on = sorted(generator.permutation(fold.fit)[:CALIBRATION_ITEMS].tolist())
    wanted = [*calibrated_on, *fold.test]
    if "self" in arms:
        asks = [_self_ask(questions[i].prompt) for i in sorted(wanted)]
        apparatus.asker.ask(asks, "the model's own notes")
    lineup = line_up(apparatus, questions, fitted, wanted, material, generator)
    found = _to_write(lineup, wanted)
    for part in (calibrated_on, fold.test):
        found["shuffled"] |= _exchanged(found["saetask"], questions, part, generator)
    named = [m for arm in found if arm != RANDOM_SAE for ms in found[arm].values() for m in ms]
    shown = apparatus.meanings.shown(features_of(named))
    trusted = apparatus.meanings.trusted(features_of(named))
    found["oracle"] = {
        i: gold_finding(questions[i].prompt, questions[i].gold_reading) for i in wanted
    }
    # A random dictionary's features have no labels, whatever the trained ones of their number.
    found = {
        arm: {i: labelled(ms, {} if arm == RANDOM_SAE else shown) for i, ms in found[arm].items()}
        for arm in found
        if arm in {*arms, "saetask"}
    }
    writers = {
        arm: Writer(fitted.annotator, fitted.wording, {} if arm == RANDOM_SAE else trusted)
        for arm in found
    }
    for arm, writer in writers.items():
        writer.ask_ahead(found[arm].values())

    fixed = {"generic": GENERIC, "placebo": PLACEBO}
    if OPTIMISED in arms:
        # As many items asked as fitting saetask took: originals, wordings, annotated prompts.
        n_tried = sum(i in set(fold.fit) for _, i in trials.scored)
        budget = len(fold.fit) + n_tried + len(calibrated_on)
        fixed[OPTIMISED] = optimised_note(
            apparatus, questions, fold.fit, fitted.original, budget, seed
        )

    def write(arm: str, i: int) -> ArmPrompt:
        prompt = questions[i].prompt
        if arm in found:
            return writers[arm].write(prompt, found[arm][i])
        if arm in fixed:
            return fixed_note(prompt, fixed[arm])
        if arm == "self":
            return self_note(prompt, apparatus.asker.output(_self_ask(prompt)))
        return ArmPrompt(prompt, None, [])

    prompts = {arm: {i: write(arm, i) for i in wanted} for arm in arms if arm != CLOSED_LOOP}
    if CLOSED_LOOP in arms:
        loop = make_loop(apparatus, fitted, trials, fold.fit, trusted)
        prompts[CLOSED_LOOP] = close_loop(
            loop,
            questions,
            {
                i: finding._replace(misunderstandings=found["saetask"][i])
                for i, finding in lineup.findings["saetask"].items()
            },
        )
    tested = {
        name: {i: findings[i] for i in fold.test} for name, findings in lineup.findings.items()
    }
    return Plan(fold, fitted.original, calibrated_on, prompts, tested, selection)


def _to_write(
    lineup: Lineup, wanted: Sequence[int]
) -> dict[str, dict[int, list[Misunderstanding]]]:
    """Returns what the arms with a detector write, by arm and item."""
    found = {
        arm: {i: finding.misunderstandings for i, finding in lineup.findings[arm].items()}
        for arm in FROM_FINDINGS
        if arm in lineup.findings
    }
    own = lineup.findings["saetask"]
    found["always"] = {
        i: [
            lineup.finder.explain(lineup.readings[i], own[i].leading)._replace(
                probability=own[i].failure
            )
        ]
        for i in wanted
    }
    found["shuffled"] = {}
    return found


def _exchanged(
    found: Mapping[int, list[Misunderstanding]],
    questions: Sequence[Question],
    items: Sequence[int],
    generator: np.random.Generator,
) -> dict[int, list[Misunderstanding]]:
    """Gives each item the findings of another one; as many are annotated as before."""
    order = generator.permutation(items).tolist()
    donors = dict(zip(order, [*order[1:], *order[:1]]))
    return {i: about(questions[i].prompt, found[donors[i]]) for i in items}
