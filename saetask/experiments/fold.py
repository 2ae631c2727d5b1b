"""A fold's plan: what was fitted on its fit split, and the prompts of every arm."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from saetask.annotation.prompt_writer import ArmPrompt, Writer, fixed_note
from saetask.data.prompts import Prompt
from saetask.data.samples import Fold, Sample, Study
from saetask.detection.base import Finding, Misunderstanding
from saetask.detection.calibration import Calibration
from saetask.errors import UserError, did_you_mean
from saetask.experiments.arms import (
    ARMS,
    GENERIC,
    PLACEBO,
    SELF_TOKENS,
    gold_finding,
    retarget_findings,
    self_note,
    self_request,
)
from saetask.experiments.closed_loop import close_loop, make_loop
from saetask.experiments.context import ExperimentContext, Material, features_of, labelled
from saetask.experiments.control_detectors import (
    DENSE_PROBE,
    RANDOM_FEATURE,
    RANDOM_SAE,
    Lineup,
    line_up,
)
from saetask.experiments.note_selection import Trials
from saetask.experiments.pipeline import Fitted, fit, fit_loss
from saetask.experiments.prompt_optimisation import optimised_note
from saetask.inference.client import Ask
from saetask.saes.encoding import input_hook

CALIBRATION_ITEMS = 200
"""Fit items, at most, on which an arm's calibration is fitted."""
CLOSED_LOOP = "closed-loop"
FROM_FINDINGS = ("saetask", RANDOM_FEATURE, RANDOM_SAE, DENSE_PROBE)
"""Arms that annotate what the detector of that name finds."""


class Plan(NamedTuple):
    """A fold with its prompts in every arm."""

    fold: Fold
    original: Calibration
    """Of unannotated prompts."""
    annotated: Calibration
    """Of prompts with the right reading in the chosen wording, for arms that write few notes."""
    calibrated_on: list[int]
    prompts: dict[str, dict[int, ArmPrompt]]
    findings: dict[str, dict[int, Finding]]
    """Of each detector, in the fold's test items."""
    selection: dict[str, Any]
    idle: list[str]
    """Controls that are no other than saetask in this fold; see `Lineup`."""

    def without(self, names: Collection[str]) -> "Plan":
        """Returns the plan without some arms, and without the findings of their detectors."""
        prompts = {arm: self.prompts[arm] for arm in self.prompts if arm not in names}
        findings = {name: self.findings[name] for name in self.findings if name not in names}
        return self._replace(prompts=prompts, findings=findings)


def self_ask(prompt: Prompt) -> Ask:
    """Returns what is asked for the `self` arm's note."""
    return Ask(self_request(prompt), max_new_tokens=SELF_TOKENS)


def make_plan(
    contexts: Sequence[ExperimentContext],
    study: Study,
    number: int,
    materials: Sequence[Material],
    trials: Trials,
    arms: Sequence[str],
    seed: int,
) -> Plan:
    """Fits on a fold's fit split and writes the prompts of every arm.

    Of several SAEs, that one is taken whose detector does best on the fit split.

    Raises:
        UserError: There is no such arm, it needs a detector that was not fitted, or the detector
            can not be fitted.
    """
    samples, fold = study.samples, study.folds[number]
    generator = np.random.default_rng([seed, number])
    best, fitted = _best_fit(contexts, samples, fold, materials, trials)
    context = contexts[best]
    calibrated_on = sorted(generator.permutation(fold.fit)[:CALIBRATION_ITEMS].tolist())
    parts = calibrated_on, fold.test
    wanted = [*calibrated_on, *fold.test]
    lineup = line_up(context, samples, fitted, parts, materials[best], generator)
    found = _to_write(lineup, wanted)
    for part in parts:
        found["shuffled"] |= _exchanged(found["saetask"], samples, part, generator)
    found["oracle"] = {i: gold_finding(samples[i].prompt, samples[i].gold_reading) for i in wanted}
    found = {arm: found[arm] for arm in found if arm in {*arms, "saetask"}}
    scribes = _scribes(context, fitted, found)
    prompts = {arm: _from_findings(scribes[arm], samples, found[arm]) for arm in found}
    if CLOSED_LOOP in arms:
        shown = {
            i: finding._replace(misunderstandings=scribes["saetask"].labelled(found["saetask"][i]))
            for i, finding in lineup.findings["saetask"].items()
        }
        loop = make_loop(context, fitted, trials, fold.fit, scribes["saetask"].writer.labels)
        prompts[CLOSED_LOOP] = close_loop(loop, samples, shown)
    budget = len(fold.fit) + sum(i in set(fold.fit) for _, i in trials.scored) + len(calibrated_on)
    for arm in arms:
        if arm not in prompts:
            prompts[arm] = _for_all(context, samples, wanted, fitted, arm, budget, seed)
    tested = {
        name: {i: findings[i] for i in fold.test} for name, findings in lineup.findings.items()
    }
    in_order = {arm: prompts[arm] for arm in arms}
    return Plan(
        fold,
        fitted.original,
        fitted.annotated,
        calibrated_on,
        in_order,
        tested,
        fitted.selection,
        lineup.idle,
    )


def _best_fit(
    contexts: Sequence[ExperimentContext],
    samples: Sequence[Sample],
    fold: Fold,
    materials: Sequence[Material],
    trials: Trials,
) -> tuple[int, Fitted]:
    """Fits with every SAE; returns the number of the best on the fit split, and its fit."""
    fits = [
        fit(context, samples, fold.fit, material, trials, fold.auxiliary)
        for context, material in zip(contexts, materials)
    ]
    losses = [fit_loss(fitted, samples) for fitted in fits]
    best = int(np.argmin(losses))
    hooks = [input_hook(context.sae) for context in contexts]
    tried = [{"hook_name": h, "fit_loss": loss} for h, loss in zip(hooks, losses)]
    selection = {**fits[best].selection, "sae": best, "saes": tried}
    return best, fits[best]._replace(selection=selection)


class _Scribe(NamedTuple):
    """Writes an arm's findings."""

    writer: Writer
    shown: Mapping[int, str]
    """What is known of features, for the reader of the findings."""

    def labelled(self, found: Sequence[Misunderstanding]) -> list[Misunderstanding]:
        return labelled(found, self.shown)


def _scribes(
    context: ExperimentContext,
    fitted: Fitted,
    found: Mapping[str, Mapping[int, list[Misunderstanding]]],
) -> dict[str, _Scribe]:
    """Returns a scribe for each arm; notes that a language model writes are asked for at once."""
    named = [m for arm in found if arm != RANDOM_SAE for ms in found[arm].values() for m in ms]
    shown = context.meanings.for_display(features_of(named))
    trusted = context.meanings.for_annotation(features_of(named))
    scribes = {}
    for arm, findings in found.items():
        # A random dictionary's features have no labels, whatever the trained ones of their number.
        known = arm != RANDOM_SAE
        writer = Writer(fitted.annotator, fitted.wording, trusted if known else {})
        scribes[arm] = _Scribe(writer, shown if known else {})
        writer.ask_ahead([scribes[arm].labelled(ms) for ms in findings.values()])
    return scribes


def _from_findings(
    scribe: _Scribe,
    samples: Sequence[Sample],
    found: Mapping[int, list[Misunderstanding]],
) -> dict[int, ArmPrompt]:
    return {
        i: scribe.writer.write(samples[i].prompt, scribe.labelled(ms)) for i, ms in found.items()
    }


def _for_all(
    context: ExperimentContext,
    samples: Sequence[Sample],
    wanted: Sequence[int],
    fitted: Fitted,
    arm: str,
    budget: int,
    seed: int,
) -> dict[int, ArmPrompt]:
    """Returns the prompts of an arm without findings: a fixed note, the model's own, or none.

    Raises:
        UserError: There is no such arm, or it needs a detector that was not fitted.
    """
    prompts = {i: samples[i].prompt for i in wanted}
    match arm:
        case "original":
            return {i: ArmPrompt(prompt, None, []) for i, prompt in prompts.items()}
        case "self":
            asks = {i: self_ask(prompt) for i, prompt in sorted(prompts.items())}
            context.asker.ask(asks.values(), "the model's own notes")
            return {i: self_note(prompts[i], context.asker.output(asks[i])) for i in wanted}
        case "generic":
            note = GENERIC
        case "placebo":
            note = PLACEBO
        case "optimised-prompt":
            # As many items asked as fitting saetask took: originals, wordings, annotated prompts.
            known = list(fitted.findings)
            note = optimised_note(context, samples, known, fitted.original, budget, seed)
        case _ if arm in ARMS:
            raise UserError(f"The arm '{arm}' needs a detector that was not fitted; leave it out.")
        case _:
            raise UserError(f"Unknown arm '{arm}'.{did_you_mean(arm, ARMS)}")
    return {i: fixed_note(prompt, note) for i, prompt in prompts.items()}


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
    samples: Sequence[Sample],
    items: Sequence[int],
    generator: np.random.Generator,
) -> dict[int, list[Misunderstanding]]:
    """Gives each item the findings of another one, and each item's findings to one: `shuffled`.

    Items of one group can be near-duplicates, whose findings fit each other, so the other item is
    of another group wherever one is left to be had. A single item has nobody to exchange with, and
    gets none.
    """
    order = generator.permutation(items).tolist()
    if len(order) < 2:
        return {i: [] for i in order}
    groups = [samples[i].item.group for i in order]
    order.sort(key=lambda i: groups.index(samples[i].item.group))
    # Side by side, no group reaches further than the largest: so far on, another group stands.
    largest = max(Counter(groups).values())
    step = largest if largest < len(order) else 1
    donors = dict(zip(order, [*order[step:], *order[:step]]))
    return {i: retarget_findings(samples[i].prompt, found[donors[i]]) for i in items}
