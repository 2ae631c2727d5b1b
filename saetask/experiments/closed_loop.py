"""The closed loop: annotate, read the prompt again, and keep the note only if it helped.

A note is kept if the probability that the model's answer is wrong falls and the prompt, read again,
holds no other misunderstanding. Otherwise the next wording is tried, and after the last round the
prompt stays as it was.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from saetask.annotation.prompt_writer import ArmPrompt, Round, Writer
from saetask.data.samples import Sample
from saetask.detection.base import DetectorInput, Finding
from saetask.detection.calibration import Calibration, fit_calibration
from saetask.experiments.context import ExperimentContext, as_ask, reading_scores, scored_item
from saetask.experiments.note_selection import Trials, best_wordings
from saetask.experiments.pipeline import Fitted
from saetask.saes.extraction import extract_features

ROUNDS = 3


class Style(NamedTuple):
    """A wording in a place, and the model's bias when it is asked so."""

    writer: Writer
    calibration: Calibration
    """Fitted on fit items that were asked with the right reading in this style."""


class Loop(NamedTuple):
    """What the rounds need, fitted on the fit split."""

    context: ExperimentContext
    fitted: Fitted
    styles: list[Style]
    """Best first, one for each round."""


def make_loop(
    context: ExperimentContext,
    fitted: Fitted,
    trials: Trials,
    fit_items: Sequence[int],
    labels: Mapping[int, str],
) -> Loop:
    """Takes the styles that did best on the fit split, one for each round."""
    styles, chosen = [], set(fit_items)
    for number in best_wordings(fitted.selection["wordings"])[:ROUNDS]:
        annotator, wording = trials.styles[number]
        calibration = fit_calibration(trials.of(number, chosen))
        styles.append(Style(Writer(annotator, wording, labels), calibration))
    return Loop(context, fitted, styles)


def close_loop(
    loop: Loop, samples: Sequence[Sample], findings: Mapping[int, Finding]
) -> dict[int, ArmPrompt]:
    """Annotates in rounds.

    Args:
        loop: What the rounds need.
        questions: All of them.
        findings: In the unannotated prompts, by item; features labelled.

    Returns:
        The prompt of each item, with its rounds.
    """
    written = {
        i: ArmPrompt(samples[i].prompt, None, finding.misunderstandings)
        for i, finding in findings.items()
    }
    pending = [i for i, finding in findings.items() if finding.misunderstandings]
    for style in loop.styles:
        ranked = [i for i in pending if samples[i].candidates]
        style.writer.ask_ahead(findings[i].misunderstandings for i in ranked)
        tried = {
            i: style.writer.write(samples[i].prompt, findings[i].misunderstandings) for i in ranked
        }
        again = _judged_again(loop, style, samples, tried)
        for i, after in again.items():
            note = tried[i].annotation
            assert note is not None
            kept = _helped(findings[i], after)
            done = Round(note, findings[i].failure, after.failure, kept)
            rounds = (*written[i].rounds, done)
            written[i] = (tried[i] if kept else written[i])._replace(rounds=rounds)
        pending = [i for i in pending if written[i].annotation is None]
    return written


def _helped(before: Finding, after: Finding) -> bool:
    readings = {misread.reading for misread in before.misunderstandings}
    others = [m for m in after.misunderstandings if m.reading not in readings]
    return after.failure < before.failure and not others


def _judged_again(
    loop: Loop, style: Style, samples: Sequence[Sample], tried: Mapping[int, ArmPrompt]
) -> dict[int, Finding]:
    """Asks and reads the annotated prompts, and has the detector judge them."""
    asked = {i: arm.prompt for i, arm in tried.items() if arm.annotation}
    if not asked:
        return {}
    context = loop.context
    asker = context.asker
    asker.ask([as_ask(samples[i], prompt) for i, prompt in asked.items()], "read again: ask")
    read = extract_features(context.model, [context.sae], list(asked.values()))
    found = {}
    for number, (i, prompt) in enumerate(asked.items()):
        scored = scored_item(asker, samples[i], prompt)
        scores = reading_scores(scored, style.calibration, context.task.readings)
        reading = DetectorInput(
            read.features[0][number], prompt.content, prompt.spans, scores, read.raw[number]
        )
        found[i] = loop.fitted.detector.detect(reading)
    return found
