"""Choosing a note template: training samples are scored with the right reading in each of them."""

from collections.abc import Collection, Mapping, Sequence
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

LOSS_DIGITS = 4
"""Decimals of a loss, in nats, that are compared: where a calibration separates the right answers
from the others, the optimiser stops anywhere below 1e-5."""


class NoteScores(NamedTuple):
    """The model's scores of training samples whose prompt states the right reading."""

    templates: list[NoteTemplate]
    scored: dict[tuple[int, Sample], ScoredItem]
    """By index of the template, and sample."""

    def of(self, template: int, samples: Collection[Sample]) -> list[ScoredItem]:
        """Returns the scores of some samples under one template."""
        chosen = set(samples)
        return [
            scored
            for (n, sample), scored in self.scored.items()
            if n == template and sample in chosen
        ]

    def samples(self) -> set[Sample]:
        """Returns the samples that were scored."""
        return {sample for _, sample in self.scored}


def score_notes(context: ExperimentContext, samples: Sequence[Sample], seed: int) -> NoteScores:
    """Scores a draw of samples with every note template, each stating the right reading.

    Placements that the model's chat template refuses (a system message, often) are left out. Where
    a language model wrote no note, the prompt is asked unchanged, so that all templates are
    compared on the same samples.

    Args:
        context: Model, client and annotators.
        samples: Training samples to draw from; those without candidates or right reading are not.
        seed: Seed of the draw.
    """
    known = [s for s in samples if s.candidates and s.gold_reading is not None]
    drawn = draw(known, context.settings.note_samples, np.random.default_rng(seed))
    prompts = _annotated_prompts(context, drawn)
    by_name = {annotator.name: annotator for annotator in context.annotators}
    names = sorted({(name, number) for name, number, _ in prompts})
    # Without any prompt the templates can not be compared: the first one is taken.
    templates = [NoteTemplate(by_name[name], number) for name, number in names] or [
        NoteTemplate(context.annotators[0], 0)
    ]
    asked = [
        (n, sample, prompts.get((*name, sample)) or sample.prompt)
        for n, name in enumerate(names)
        for sample in drawn
    ]
    responses = context.client.rank(
        [rank_request(sample, prompt) for _, sample, prompt in asked], "note templates"
    )
    scored = {
        (n, sample): scored_item(sample, response)
        for (n, sample, _), response in zip(asked, responses)
    }
    return NoteScores(templates, scored)


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
    """By template: `annotator`, `wording`, and `fit_loss` in nats (None without a sample)."""


def choose_template(scores: NoteScores, samples: Collection[Sample]) -> TemplateChoice:
    """Chooses the template under which the right answers of some samples are most likely.

    A template that none of them was asked in has no loss, and is taken only if none has one.
    """
    losses = []
    for index, (annotator, number) in enumerate(scores.templates):
        rows = scores.of(index, samples)
        calibration = fit_calibration(rows)
        right = [
            np.exp(calibration.apply(row.scores, row.readings))[row.correct].sum() for row in rows
        ]
        loss = float(-np.log(np.maximum(right, 1e-9)).mean()) if rows else None
        losses.append({"annotator": annotator.name, "wording": number, "fit_loss": loss})
    return TemplateChoice(order_by_loss(losses)[0], losses)


def choose_note(scores: NoteScores, samples: Collection[Sample]) -> Annotation:
    """Returns the best of notes that are the same for every prompt, in the same way."""
    annotator, number = scores.templates[choose_template(scores, samples).index]
    nothing = Misunderstanding(annotator.name, Span(0, 0), "", "", 0.0, [])
    return annotator.candidates(nothing, {})[number]


def order_by_loss(losses: Sequence[Mapping[str, Any]]) -> list[int]:
    """Returns the indices of templates, lowest loss first; those without a loss come last.

    Losses that agree to `LOSS_DIGITS` are ties, which the first template wins: what is left of the
    difference is the optimiser's tolerance and rounding, which other processors do otherwise.
    """
    values = [entry["fit_loss"] for entry in losses]
    return sorted(
        range(len(values)),
        key=lambda i: np.inf if values[i] is None else round(values[i], LOSS_DIGITS),
    )
