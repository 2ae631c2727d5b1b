"""Choosing a note template: training samples are scored with the right reading in each of them.

All are compared on a part of the samples, and the best few on all of them: a round of successive
halving (Jamieson & Talwalkar 2016, arXiv 1502.07943). Where answers are generated, the best few
write theirs, too: what makes the right candidate likely may be copied in place of an answer.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
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
from saetask.experiments.written_answers import write_answers
from saetask.models.loading import model_tokenizer

FINALISTS = 4
"""Number of templates that are compared on all samples."""
WRITING_FINALISTS = 2
"""Number of those that are compared by generated answers, which take long."""
SMALLEST_PART = 16
"""Minimum number of samples on which all are compared: the loss on eight is not that of forty."""
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
    generated: Mapping[tuple[int, Sample], bool] = MappingProxyType({})
    """Whether a generated answer is right, of templates that were not dropped; empty where answers
    are ranked."""

    def drawn_from(self, samples: Collection[Sample]) -> list[Sample]:
        """Returns those of some samples that were drawn, in random order."""
        chosen = set(samples)
        return [sample for sample in self.drawn if sample in chosen]

    def of(self, template: int, samples: Iterable[Sample]) -> list[ScoredItem]:
        """Returns the scores under one template of those samples that have one, in their order."""
        return [
            self.scored[template, sample] for sample in samples if (template, sample) in self.scored
        ]


StateFinding = Callable[[Sample], list[Misunderstanding]]
"""Returns the finding that a sample's note is to state; an empty list for none."""


def score_notes(
    context: ExperimentContext,
    fit_splits: Sequence[Collection[Sample]],
    seed: int,
    state_finding: StateFinding | None = None,
    title: str = "note templates",
    generate: bool = False,
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
        state_finding: What is stated; None states the right reading without evidence.
        title: What the stage is called in the progress.
        generate: The answers that are judged are generated ones.
    """
    samples = sorted({s for split in fit_splits for s in split}, key=lambda s: s.position)
    known = [s for s in samples if s.candidates and s.gold_reading is not None]
    generator = np.random.default_rng(seed)
    drawn = draw(known, context.settings.note_samples, generator)
    findings = {sample: (state_finding or gold_finding)(sample) for sample in drawn}
    prompts = _annotated_prompts(context, findings)
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

    def annotated(template: int, sample: Sample) -> Prompt:
        return prompts.get((*names[template], sample)) or sample.prompt

    def ask(wanted: Iterable[tuple[int, Sample]], stage_title: str) -> None:
        keys = [key for key in dict.fromkeys(wanted) if key not in scores.scored]
        requests = [rank_request(sample, annotated(n, sample)) for n, sample in keys]
        for key, response in zip(keys, context.client.rank(requests, stage_title)):
            scores.scored[key] = scored_item(key[1], response)

    splits = [scores.drawn_from(split) for split in fit_splits]
    every = range(len(templates))
    parts = [_part(scores, own) for own in splits]
    ask(((n, s) for part in parts for n in every for s in part), title)
    finalists = [_finalists(scores, own) for own in splits]
    best = ((n, s) for own, left in zip(splits, finalists) for n in left for s in own)
    ask(best, f"best {title}")
    if generate:
        written = {
            (n, s): annotated(n, s)
            for own, left in zip(splits, finalists)
            for n in _writing_finalists(scores, own, left)
            for s in own
        }
        judged = _judge_generated(context, written, f"best {title}: generate")
        return scores._replace(generated=judged)
    return scores


def _judge_generated(
    context: ExperimentContext, prompts: Mapping[tuple[int, Sample], Prompt], title: str
) -> dict[tuple[int, Sample], bool]:
    """Returns whether the answer that the model writes to each of these prompts is right."""
    asked = [(sample, prompt) for (_, sample), prompt in prompts.items()]
    outputs = write_answers(context, asked, title)
    return {
        (n, sample): context.task.score(sample.item, output).correct
        for (n, sample), output in zip(prompts, outputs)
    }


def _part(scores: NoteScores, own: list[Sample]) -> list[Sample]:
    """Returns those of a split's drawn samples on which all templates are compared."""
    if len(scores.templates) <= FINALISTS:
        return own
    return _readings_in_turn(own)[: max(SMALLEST_PART, math.ceil(len(own) / 2))]


def _finalists(scores: NoteScores, own: list[Sample]) -> list[int]:
    """Returns the templates that are best on that part."""
    part = _part(scores, own)
    losses = [_loss(scores, index, part) for index in range(len(scores.templates))]
    return order_by_loss(losses)[:FINALISTS]


def _writing_finalists(scores: NoteScores, own: list[Sample], finalists: list[int]) -> list[int]:
    """Returns the finalists that are best on all of a split's drawn samples."""
    finalists = sorted(finalists)
    losses = [_loss(scores, index, own) for index in finalists]
    return [finalists[place] for place in order_by_loss(losses)[:WRITING_FINALISTS]]


def _readings_in_turn(samples: Iterable[Sample]) -> list[Sample]:
    """Returns samples so that any first part has about as many of each right reading."""
    seen: Counter[str | None] = Counter()
    turns = []
    for sample in samples:
        turns.append((seen[sample.gold_reading], sample))
        seen[sample.gold_reading] += 1
    return [sample for _, sample in sorted(turns, key=lambda turn: turn[0])]


def _loss(scores: NoteScores, index: int, samples: Sequence[Sample]) -> dict[str, Any]:
    """Returns the loss of a template on some samples, as in `TemplateChoice.losses`."""
    rows = scores.of(index, samples)
    calibration = fit_calibration(rows)
    right = [np.exp(calibration.apply(row.scores, row.readings))[row.correct].sum() for row in rows]
    loss = float(-np.log(np.maximum(right, 1e-9)).mean()) if rows else None
    annotator, number = scores.templates[index]
    return {"annotator": annotator.name, "wording": number, "fit_loss": loss, "n": len(rows)}


def _accuracy(scores: NoteScores, index: int, samples: Sequence[Sample]) -> dict[str, Any]:
    """Returns the share of right generated answers, as in `TemplateChoice.losses`, if any."""
    right = [scores.generated[index, s] for s in samples if (index, s) in scores.generated]
    return {"fit_accuracy": float(np.mean(right))} if right else {}


def _annotated_prompts(
    context: ExperimentContext, findings: Mapping[Sample, list[Misunderstanding]]
) -> dict[tuple[str, int, Sample], Prompt]:
    """Returns the prompts with these findings, by annotator, template number and sample."""
    tokenizer, unvalidated = model_tokenizer(context.model), context.feature_labels.unvalidated
    prompts = {}
    for annotator in context.annotators:
        generate_notes(annotator, (NoteSubject(found[0], {}) for found in findings.values()))
    for sample, found in findings.items():
        for annotator in context.annotators:
            for number in range(_count_notes(annotator, found[0])):
                writer = PromptAnnotator(NoteTemplate(annotator, number), {}, {}, unvalidated)
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
    number of samples: less of a template that was dropped; `fit_accuracy` of generated answers."""


def choose_template(scores: NoteScores, samples: Collection[Sample]) -> TemplateChoice:
    """Chooses the template under which the right answers of some samples are most likely.

    Where answers were generated, it is that of the best few with the most right ones. A template
    that none of them was asked in has no loss, and is taken only if none has one.
    """
    own = scores.drawn_from(samples)
    part = _part(scores, own)
    losses = [_loss(scores, index, part) for index in range(len(scores.templates))]
    finalists = order_by_loss(losses)[:FINALISTS]
    for index in finalists:
        losses[index] = _loss(scores, index, own)
    for index in _writing_finalists(scores, own, finalists):
        losses[index] |= _accuracy(scores, index, own)
    return TemplateChoice(order_by_loss(losses)[0], losses)


def choose_note(scores: NoteScores, samples: Collection[Sample]) -> Annotation:
    """Returns the best of notes that are the same for every prompt, in the same way."""
    annotator, number = scores.templates[choose_template(scores, samples).index]
    nothing = Misunderstanding(annotator.name, Span(0, 0), "", "", 0.0, [])
    return annotator.candidates(nothing, {})[number]


def order_by_loss(losses: Sequence[Mapping[str, Any]]) -> list[int]:
    """Returns the indices of templates, lowest loss first; those without a loss come last.

    One that was dropped, and has a loss of fewer samples, comes after those that were not. Losses
    that agree to `LOSS_DIGITS` are ties, which the first template wins: what is left of the
    difference is the optimiser's tolerance and rounding, which other processors do otherwise. The
    share of right generated answers, where there is any, counts before the loss.
    """

    def place(index: int) -> tuple[int, float, float]:
        loss, n = losses[index]["fit_loss"], losses[index]["n"]
        accuracy = losses[index].get("fit_accuracy", -1.0)
        return -n, -accuracy, np.inf if loss is None else round(loss, LOSS_DIGITS)

    return sorted(range(len(losses)), key=place)
