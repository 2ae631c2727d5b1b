"""The closed loop: annotate, read the prompt again, and keep the note only if that helped.

A note is kept if the probability that the model's answer is wrong falls and the prompt, read again,
holds no other misunderstanding. Otherwise the next template is tried; after the last round the
prompt is left unchanged.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from saetask.annotation.prompt_writer import (
    ArmPrompt,
    NoteTemplate,
    PromptAnnotator,
    Round,
    make_prompt_annotator,
)
from saetask.data.samples import Sample
from saetask.detection.base import Detector, DetectorInput, Finding
from saetask.detection.calibration import Calibration, tested_calibration
from saetask.experiments.context import ExperimentContext
from saetask.experiments.fold import FoldState
from saetask.experiments.note_selection import order_by_loss
from saetask.experiments.observation import rank_request, reading_scores, scored_item
from saetask.saes.extraction import extract_features

CLOSED_LOOP = "closed-loop"
ROUNDS = 3


class RoundTemplate(NamedTuple):
    """A note template, and the model's bias on prompts with it."""

    template: NoteTemplate
    bias: Calibration
    """Fitted on training samples that were asked with the right reading in this template."""


def close_loop(state: FoldState, samples: Sequence[Sample]) -> dict[Sample, ArmPrompt]:
    """Writes saetask's findings in rounds, each with the next best template of the fit split."""
    templates, findings = round_templates(state), state.findings("saetask")
    found = {sample: findings[sample] for sample in samples}
    return annotate_in_rounds(state.context, state.pipeline.detector, templates, found)


def round_templates(state: FoldState) -> list[RoundTemplate]:
    """Returns the templates that did best on the fit split, one for each round."""
    order = order_by_loss(state.pipeline.selection["wordings"])[:ROUNDS]
    return [
        RoundTemplate(
            state.note_scores.templates[index],
            tested_calibration(state.note_scores.of(index, state.fold.train)),
        )
        for index in order
    ]


def annotate_in_rounds(
    context: ExperimentContext,
    detector: Detector,
    templates: Sequence[RoundTemplate],
    findings: Mapping[Sample, Finding],
) -> dict[Sample, ArmPrompt]:
    """Annotates prompts in rounds.

    Args:
        context: Model, SAE, client and feature labels.
        detector: Judges prompts, with and without a note.
        templates: One for each round.
        findings: In the unannotated prompts.

    Returns:
        The prompt of each sample, with its rounds.
    """
    stated = {sample: finding.misunderstandings for sample, finding in findings.items()}
    annotators = [
        make_prompt_annotator(template.template, context.feature_labels, stated.values())
        for template in templates
    ]
    written = {
        sample: ArmPrompt(
            sample.prompt, None, annotators[0].labelled(found) if annotators else found
        )
        for sample, found in stated.items()
    }
    pending = [sample for sample, found in stated.items() if found and sample.candidates]
    for annotator, (_, bias) in zip(annotators, templates):
        tried = _tried(annotator, pending, stated)
        judged = _judge_again(context, detector, bias, tried)
        for sample, after in judged.items():
            note = tried[sample].annotation
            assert note is not None
            before = findings[sample]
            kept = _is_improvement(before, after)
            done = Round(note, before.failure, after.failure, kept)
            rounds = (*written[sample].rounds, done)
            written[sample] = (tried[sample] if kept else written[sample])._replace(rounds=rounds)
        pending = [sample for sample in pending if written[sample].annotation is None]
    return written


def _tried(
    annotator: PromptAnnotator, samples: Sequence[Sample], stated: Mapping[Sample, list]
) -> dict[Sample, ArmPrompt]:
    """Returns the annotated prompts of those samples for which the template has a note."""
    annotator.generate_notes(stated[sample] for sample in samples)
    written = {s: annotator.write(s.prompt, stated[s]) for s in samples}
    return {sample: prompt for sample, prompt in written.items() if prompt.annotation}


def _is_improvement(before: Finding, after: Finding) -> bool:
    readings = {misunderstanding.reading for misunderstanding in before.misunderstandings}
    others = [m for m in after.misunderstandings if m.reading not in readings]
    return after.failure < before.failure and not others


def _judge_again(
    context: ExperimentContext,
    detector: Detector,
    bias: Calibration,
    tried: Mapping[Sample, ArmPrompt],
) -> dict[Sample, Finding]:
    """Runs the model and the detector on annotated prompts and returns the findings."""
    if not tried:
        return {}
    prompts = [written.prompt for written in tried.values()]
    requests = [rank_request(sample, prompt) for sample, prompt in zip(tried, prompts)]
    responses = context.client.rank(requests, "closed loop: ask")
    extracted = extract_features(context.model, [context.sae], prompts)
    findings = {}
    for i, (sample, prompt) in enumerate(zip(tried, prompts)):
        scores = reading_scores(scored_item(sample, responses[i]), bias, context.task.readings)
        given = DetectorInput(
            context.known_concepts.seen(extracted.features[0][i]),
            prompt.content,
            prompt.spans,
            scores,
            extracted.raw[i],
            concepts=context.known_concepts.concepts,
            named_features=context.known_concepts.named_features,
        )
        findings[sample] = detector.detect(given)
    return findings
