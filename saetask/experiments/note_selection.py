"""Choosing a note template: training samples are scored with the right reading in each of them.

The templates are compared by successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943): all
of them on a part of the samples, the better half on twice as many, and a few on all.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from saetask.annotation.base import Annotation, Annotator
from saetask.annotation.generated_notes import NoteSubject, generate_notes
from saetask.annotation.prompt_writer import NoteTemplate, PromptAnnotator
from saetask.data.prompts import Prompt, Span
from saetask.data.rendering import renders
from saetask.data.samples import Sample, draw
from saetask.detection.base import Misunderstanding
from saetask.detection.calibration import ScoredItem, fit_calibration
from saetask.errors import UserError
from saetask.experiments.context import ExperimentContext
from saetask.experiments.observation import rank_request, scored_item
from saetask.models.loading import model_tokenizer

FINALISTS = 4
"""Number of templates that are compared on all samples."""
FEWEST_SAMPLES = 8
"""Minimum number of samples, if there are as many, on which any are compared."""
LOSS_DIGITS = 4
"""Decimals of a loss, in nats, that are compared: where a calibration separates the right answers
from the others, the optimiser stops anywhere below 1e-5."""


class NoteScores(NamedTuple):
    """The model's scores of training samples whose prompt states the right reading."""

    templates: list[NoteTemplate]
    drawn: Sequence[Sample]
    """The samples to compare them on, in random order."""
    scored: dict[tuple[int, Sample], ScoredItem]
    """By index of the template, and sample; not of a template's samples after it was dropped."""

    def of(self, template: int, samples: Iterable[Sample]) -> list[ScoredItem]:
        """Returns the scores under one template of those samples that have one, in their order."""
        return [
            self.scored[template, sample] for sample in samples if (template, sample) in self.scored
        ]


def score_notes(
    context: ExperimentContext, fit_splits: Sequence[Collection[Sample]], seed: int
) -> NoteScores:
    """Scores a draw of samples with note templates, each stating the right reading.

    Each fit split drops templates by its own samples alone; a prompt that several splits need is
    asked once. Placements that the model's chat template refuses (a system message, often) are left
    out. Where a language model wrote no note, the prompt is asked unchanged, so that all templates
    are compared on the same samples.

    Args:
        context: Model, client and annotators.
        fit_splits: Training samples of each fold, to draw from; those without candidates or right
            reading are not.
        seed: Seed of the draw.
    """
    samples = sorted({s for split in fit_splits for s in split}, key=lambda s: s.position)
    known = [s for s in samples if s.candidates and s.gold_reading is not None]
    generator = np.random.default_rng(seed)
    drawn = draw(known, context.settings.note_samples, generator)
    prompts = _annotated_prompts(context, drawn)
    by_name = {annotator.name: annotator for annotator in context.annotators}
    names = sorted({(name, number) for name, number, _ in prompts})
    # Without any prompt the templates can not be compared: the first one is taken.
    templates = [NoteTemplate(by_name[name], number) for name, number in names] or [
        NoteTemplate(context.annotators[0], 0)
    ]
    in_random_order = [drawn[i] for i in generator.permutation(len(drawn))]
    scores = NoteScores(templates, in_random_order, {})
    if not names:
        return scores
    rounds = [_first_round(scores, split) for split in fit_splits]
    while rounds:
        asked = {
            (n, sample): prompts.get((*names[n], sample)) or sample.prompt
            for each in rounds
            for n in each.templates
            for sample in each.samples
            if (n, sample) not in scores.scored
        }
        requests = [rank_request(sample, prompt) for (_, sample), prompt in asked.items()]
        responses = context.client.rank(requests, "note templates")
        scores.scored.update(
            (key, scored_item(key[1], response)) for key, response in zip(asked, responses)
        )
        following = [_next_round(each, _losses(scores, each)) for each in rounds]
        rounds = [each for each in following if each]
    return scores


class _Round(NamedTuple):
    """A round of a fit split's comparison."""

    templates: list[int]
    """Those that are left."""
    samples: list[Sample]
    """Those that they are compared on in this round."""
    everything: list[Sample]
    """Those of the last round."""


Losses = dict[int, dict[str, Any]]
"""By index of the template, as in `TemplateChoice.losses`."""


def _first_round(scores: NoteScores, samples: Collection[Sample]) -> _Round:
    """Returns the round with every template."""
    chosen = set(samples)
    order = _readings_in_turn(sample for sample in scores.drawn if sample in chosen)
    return _round(list(range(len(scores.templates))), order)


def _next_round(current: _Round, losses: Losses) -> _Round | None:
    """Returns the round with the better half; None after the last one."""
    left = current.templates
    if len(left) <= FINALISTS:
        return None
    best = order_by_loss([losses[index] for index in left])
    kept = best[: max(FINALISTS, math.ceil(len(left) / 2))]
    return _round(sorted(left[place] for place in kept), current.everything)


def _round(templates: list[int], samples: list[Sample]) -> _Round:
    n_halvings = max(0, math.ceil(math.log2(len(templates) / FINALISTS)))
    n = max(FEWEST_SAMPLES, math.ceil(len(samples) / 2**n_halvings))
    return _Round(templates, samples[:n], samples)


def _readings_in_turn(samples: Iterable[Sample]) -> list[Sample]:
    """Returns samples so that any first part has about as many of each right reading."""
    seen: Counter[str | None] = Counter()
    turns = []
    for sample in samples:
        turns.append((seen[sample.gold_reading], sample))
        seen[sample.gold_reading] += 1
    return [sample for _, sample in sorted(turns, key=lambda turn: turn[0])]


def _losses(scores: NoteScores, current: _Round) -> Losses:
    """Returns the losses of a round's templates on its samples."""
    losses: Losses = {}
    for index in current.templates:
        rows = scores.of(index, current.samples)
        calibration = fit_calibration(rows)
        right = [
            np.exp(calibration.apply(row.scores, row.readings))[row.correct].sum() for row in rows
        ]
        loss = float(-np.log(np.maximum(right, 1e-9)).mean()) if rows else None
        annotator, number = scores.templates[index]
        losses[index] = {
            "annotator": annotator.name,
            "wording": number,
            "fit_loss": loss,
            "n": len(rows),
        }
    return losses


def _annotated_prompts(
    context: ExperimentContext, samples: Sequence[Sample]
) -> dict[tuple[str, int, Sample], Prompt]:
    """Returns the prompts with the right reading, by annotator, template number and sample."""
    tokenizer = model_tokenizer(context.model)
    findings = {sample: gold_finding(sample) for sample in samples}
    prompts = {}
    for annotator in context.annotators:
        generate_notes(annotator, (NoteSubject(found[0], {}) for found in findings.values()))
    for sample, found in findings.items():
        for annotator in context.annotators:
            for number in range(_count_notes(annotator, found[0])):
                writer = PromptAnnotator(NoteTemplate(annotator, number), {}, {})
                written = writer.write(sample.prompt, found)
                if written.annotation and renders(tokenizer, written.prompt):
                    prompts[annotator.name, number, sample] = written.prompt
    return prompts


def _count_notes(annotator: Annotator, finding: Misunderstanding) -> int:
    """Returns how many notes an annotator offers for a finding."""
    notes: object = annotator.candidates(finding, {})
    if not isinstance(notes, list | tuple):
        raise UserError(
            f"Annotator '{annotator.name}': its method candidates returned {notes!r:.60}, not a "
            "list of saetask.annotation.Annotation."
        )
    return len(notes)


def gold_finding(sample: Sample) -> list[Misunderstanding]:
    """Returns the right reading as a finding; an empty list where there is none."""
    if sample.gold_reading is None:
        return []
    prompt = sample.prompt
    span = prompt.spans.get("target", prompt.spans["text"])
    text = prompt.content[span.start : span.end]
    return [Misunderstanding("oracle", span, text, sample.gold_reading, 1.0, [])]


class TemplateChoice(NamedTuple):
    """The template with the lowest loss on the training samples, and all losses."""

    index: int
    losses: list[dict[str, Any]]
    """By template: `annotator`, `wording`, `fit_loss` in nats (None without a sample), and `n`, the
    number of samples: less of a template that was dropped."""


def choose_template(scores: NoteScores, samples: Collection[Sample]) -> TemplateChoice:
    """Chooses the template under which the right answers of some samples are most likely.

    A template that none of them was asked in has no loss, and is taken only if none has one.
    """
    losses: Losses = {}
    current: _Round | None = _first_round(scores, samples)
    while current:
        own = _losses(scores, current)
        losses |= own
        current = _next_round(current, own)
    entries = [losses[index] for index in range(len(scores.templates))]
    return TemplateChoice(order_by_loss(entries)[0], entries)


def choose_note(scores: NoteScores, samples: Collection[Sample]) -> Annotation:
    """Returns the best of notes that are the same for every prompt, in the same way."""
    annotator, number = scores.templates[choose_template(scores, samples).index]
    nothing = Misunderstanding(annotator.name, Span(0, 0), "", "", 0.0, [])
    return annotator.candidates(nothing, {})[number]


def order_by_loss(losses: Sequence[Mapping[str, Any]]) -> list[int]:
    """Returns the indices of templates, lowest loss first; those without a loss come last.

    One that was dropped, and has a loss of fewer samples, comes after those that were not. Losses
    that agree to `LOSS_DIGITS` are ties, which the first template wins: what is left of the
    difference is the optimiser's tolerance and rounding, which other processors do otherwise.
    """

    def place(index: int) -> tuple[int, float]:
        loss, n = losses[index]["fit_loss"], losses[index]["n"]
        return -n, np.inf if loss is None else round(loss, LOSS_DIGITS)

    return sorted(range(len(losses)), key=place)
