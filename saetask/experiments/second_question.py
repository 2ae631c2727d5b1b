"""A second question about the same item, which the note on the first does not answer.

A note that states the detected reading may be believed without being understood. Where the same
note also helps with a question whose answer it does not state, more than belief is at work.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from saetask.annotation.base import annotate
from saetask.annotation.generated_notes import GeneratedNotes
from saetask.annotation.prompt_writer import ArmPrompt
from saetask.data.prompts import Prompt
from saetask.data.samples import Sample, draw
from saetask.data.tasks import AsksTwice, SecondQuestion, check_prompt
from saetask.detection.calibration import ScoredItem, tested_calibration
from saetask.experiments.context import ExperimentContext
from saetask.experiments.observation import rank_request, scored_item
from saetask.experiments.scoring import FoldPrompts, PreparedArm, SampleResult, score_folds
from saetask.inference.client import ModelClient
from saetask.report.arms import ArmSpec


def score_second_question(
    context: ExperimentContext,
    folds: Sequence[tuple[FoldPrompts, Sequence[Sample]]],
    arms: Sequence[ArmSpec],
    seed: int,
) -> list[SampleResult]:
    """Asks the task's second question, if it has one, with the notes written for the first.

    A draw of the samples is asked. None is where a language model writes notes, which may well hold
    the answer to it.

    Args:
        context: Task, client and plugins.
        folds: The first question's prompts, and all training samples of the fold.
        arms: The arms that were run; those that ask a second question are asked.
        seed: Seed of the draw.

    Returns:
        The results of the drawn samples that have a second question.
    """
    task, settings = context.task, context.settings
    freely_written = any(isinstance(a, GeneratedNotes) for a in context.annotators)
    if freely_written or not isinstance(task, AsksTwice):
        return []
    everything = {s: None for fold, train in folds for s in (*train, *fold.test)}
    asked = {
        sample: _second_sample(task, sample, second)
        for sample in sorted(everything, key=lambda s: s.position)
        if (second := task.second_question(sample.item))
    }
    generated = any(not second.candidates for second in asked.values())
    tested = {sample for fold, _ in folds for sample in fold.test}
    generator, n = np.random.default_rng(seed), settings.second_question_samples
    drawn = draw([sample for sample in asked if sample in tested], n, generator)
    if not generated:  # of samples that are not tested, candidates serve the calibration
        drawn += draw([sample for sample in asked if sample not in tested], n, generator)
    asked = {sample: asked[sample] for sample in drawn}
    if not asked:
        return []
    names = [arm.name for arm in arms if arm.asks_second_question]
    arms_by_fold = [_moved_arms(fold, asked, names) for fold, _ in folds]
    scored = _ask_all(context.client, asked.values(), arms_by_fold)
    moved = [
        _second_fold(fold, train, asked, scored, moved_arms)
        for (fold, train), moved_arms in zip(folds, arms_by_fold)
    ]
    max_new_tokens = settings.second_question_tokens if generated else None
    score = task.score_second
    return score_folds(context.client, score, moved, max_new_tokens, "second question")


def _second_sample(task: AsksTwice, sample: Sample, second: SecondQuestion) -> Sample:
    check_prompt(getattr(task, "name", "asked twice"), sample.item, second.prompt)
    candidates = second.candidates or []
    correct = [task.score_second(sample.item, c.text).correct for c in candidates]
    return Sample(
        sample.item,
        second.prompt,
        candidates,
        np.array(correct, dtype=bool),
        sample.gold_reading,
        sample.position,
    )


Arms = dict[str, PreparedArm]
"""By name, the arms of a fold."""


def _moved_arms(fold: FoldPrompts, asked: Mapping[Sample, Sample], names: Collection[str]) -> Arms:
    """Returns a fold's arms with the same notes in the prompts of the second question."""

    def moved(prompts: Mapping[Sample, ArmPrompt]) -> dict[Sample, ArmPrompt]:
        return {
            asked[sample]: _moved(written, asked[sample].prompt)
            for sample, written in prompts.items()
            if sample in asked
        }

    return {
        name: PreparedArm(moved(arm.test), moved(arm.calibration), arm.fit)
        for name, arm in fold.arms.items()
        if name in names
    }


def _ask_all(
    client: ModelClient, seconds: Iterable[Sample], folds: Iterable[Arms]
) -> dict[Sample, ScoredItem]:
    """Has all prompts answered, and returns the answers to those without a note.

    Together, because prompts of an item with and without a note begin alike.
    """
    plain = [second for second in seconds if second.candidates]
    annotated = [
        rank_request(second, written.prompt)
        for arms in folds
        for arm in arms.values()
        for prompts in (arm.calibration, arm.test)
        for second, written in prompts.items()
        if second.candidates
    ]
    answers = client.rank([*map(rank_request, plain), *annotated], "second question")
    return {second: scored_item(second, response) for second, response in zip(plain, answers)}


def _second_fold(
    fold: FoldPrompts,
    train: Sequence[Sample],
    asked: Mapping[Sample, Sample],
    scored: Mapping[Sample, ScoredItem],
    arms: Arms,
) -> FoldPrompts:
    """Returns a fold's prompts for the second question, calibrated on its own answers."""
    bias = tested_calibration([scored[asked[s]] for s in train if asked.get(s) in scored])
    tested = [asked[sample] for sample in fold.test if sample in asked]
    return FoldPrompts(fold.number, tested, bias, arms)


def _moved(written: ArmPrompt, prompt: Prompt) -> ArmPrompt:
    """Returns the same note in another prompt."""
    if written.annotation is None:
        return written._replace(prompt=prompt)
    span = prompt.spans.get("target", prompt.spans["text"])
    return written._replace(prompt=annotate(prompt, written.annotation, span))
