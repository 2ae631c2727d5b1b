"""Fitting on the fit split: the model's bias, the detector, and the wording of annotations."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.annotation.base import Annotator
from saetask.annotation.generated_notes import Noted, ask_ahead
from saetask.annotation.prompt_writer import Writer
from saetask.data.prompts import renders
from saetask.data.samples import Sample
from saetask.detection.calibration import ScoredItem, fit_calibration
from saetask.experiments.arms import gold_finding
from saetask.experiments.context import ExperimentContext, as_ask, scored_item
from saetask.models.loading import model_tokenizer

if TYPE_CHECKING:
    from saetask.data.prompts import Prompt

STYLE_ITEMS = 40
"""Fit items on which the wordings are tried."""


class Trials(NamedTuple):
    """Fit items asked with the right reading in every wording."""

    styles: list[tuple[Annotator, int]]
    scored: dict[tuple[int, int], ScoredItem]
    """By style and item."""

    def of(self, style: int, items: Collection[int]) -> list[ScoredItem]:
        """Returns those of some items in one style."""
        return [row for (s, i), row in self.scored.items() if s == style and i in items]


def try_wordings(
    context: ExperimentContext, samples: Sequence[Sample], pool: Sequence[int], seed: int
) -> Trials:
    """Asks a sample of fit items with every wording of the right reading.

    Placements that the model's chat template refuses (a system message, often) are left out. Where
    a language model wrote no note, the prompt is asked as it is, so that all wordings are compared
    on the same items.
    """
    pool = [i for i in pool if samples[i].gold_reading is not None]
    chosen = sorted(np.random.default_rng(seed).permutation(pool)[:STYLE_ITEMS].tolist())
    tokenizer = model_tokenizer(context.model)
    findings = {i: gold_finding(samples[i].prompt, samples[i].gold_reading) for i in chosen}
    for annotator in context.annotators:
        ask_ahead(annotator, (Noted(finding[0], {}) for finding in findings.values()))
    written: dict[tuple[str, int, int], Prompt] = {}
    for i, finding in findings.items():
        for annotator in context.annotators:
            for number in range(len(annotator.candidates(finding[0], {}))):
                arm = Writer(annotator, number, {}).write(samples[i].prompt, finding)
                if arm.annotation and renders(tokenizer, arm.prompt):
                    written[annotator.name, number, i] = arm.prompt
    names = sorted({(name, number) for name, number, _ in written})
    by_name = {annotator.name: annotator for annotator in context.annotators}
    asks = [as_ask(samples[i], prompt) for (_, _, i), prompt in written.items()]
    context.asker.ask(asks, "wordings")
    scored: dict[tuple[int, int], ScoredItem] = {}
    for style, (name, number) in enumerate(names):
        for i in chosen:
            prompt = written.get((name, number, i)) or samples[i].prompt
            scored[style, i] = scored_item(context.asker, samples[i], prompt)
    # Without candidates to rank, nothing says which wording is best: the first one is taken.
    styles = [(by_name[name], number) for name, number in names] or [(context.annotators[0], 0)]
    return Trials(styles, scored)


def choose_wording(trials: Trials, fit: set[int]) -> tuple[int, list[dict[str, Any]]]:
    """Returns the wording under which the fit items' right answers are most likely.

    A wording that none of them was asked in has no loss, and is taken only if no other has any.
    """
    losses = []
    for style, (annotator, number) in enumerate(trials.styles):
        rows = trials.of(style, fit)
        calibration = fit_calibration(rows)
        right = [
            np.exp(calibration.apply(row.scores, row.readings))[row.correct].sum() for row in rows
        ]
        loss = float(-np.log(np.maximum(right, 1e-9)).mean()) if rows else None
        losses.append({"annotator": annotator.name, "wording": number, "fit_loss": loss})
    return best_wordings(losses)[0], losses


def best_wordings(losses: Sequence[Mapping[str, Any]]) -> list[int]:
    """Returns the numbers of the wordings, the lowest loss first; those without one come last."""
    found = [entry["fit_loss"] for entry in losses]
    return sorted(range(len(found)), key=lambda i: np.inf if found[i] is None else found[i])
