"""A fold's test items, asked and scored in every arm."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from saetask.annotation.base import annotate
from saetask.annotation.generated_notes import WrittenNotes
from saetask.annotation.prompt_writer import ArmPrompt
from saetask.data.prompts import Prompt
from saetask.data.samples import Fold, Sample
from saetask.data.tasks import AsksTwice, Item, Score, SecondQuestion
from saetask.detection.calibration import calibration_or, fit_calibration
from saetask.experiments.arms import ARM_NAMES, ARMS
from saetask.experiments.context import ExperimentContext, as_ask, scored_item
from saetask.experiments.fold import Plan
from saetask.inference.client import Ask, Asker


class SampleResult(NamedTuple):
    """One item in one arm."""

    sample: Sample
    fold: int
    arm: str
    written: ArmPrompt
    output: str
    score: Score
    scores: dict[str, float]
    """Calibrated log-probability of each candidate answer."""


def _ranked_asks(plans: Sequence[Plan], samples: Sequence[Sample]) -> list[Ask]:
    """Returns what every plan ranks, the prompts of one item side by side."""
    found: dict[int, list[Ask]] = {}
    for plan in plans:
        for prompts in plan.prompts.values():
            for i, written in prompts.items():
                if samples[i].candidates:
                    found.setdefault(i, []).append(as_ask(samples[i], written.prompt))
    return [ask for i in sorted(found) for ask in found[i]]


def _generated_asks(plans: Sequence[Plan], length: int) -> Iterable[Ask]:
    """Returns what every plan has generated: its test items, in every arm."""
    for plan in plans:
        for prompts in plan.prompts.values():
            yield from (Ask(prompts[i].prompt, max_new_tokens=length) for i in plan.fold.test)


def _judge(
    asker: Asker,
    score: Callable[[Item, str], Score],
    samples: Sequence[Sample],
    number: int,
    plan: Plan,
    length: int | None,
) -> list[SampleResult]:
    """Scores a fold's test items in every arm.

    Annotated prompts are calibrated on the arm's annotated fit items; a prompt that an arm leaves
    as it is keeps the answer of the original.
    """
    outcomes = []
    for arm, prompts in plan.prompts.items():
        rows = [
            scored_item(asker, samples[i], prompts[i].prompt)
            for i in plan.calibrated_on
            if prompts[i].annotation
        ]
        # Where these are too few, a note that states a finding counts as one that states the right
        # reading in the same wording does (which was tried on fit items), any other as no note.
        stating = any(written.misunderstandings for written in prompts.values())
        annotated = calibration_or(rows, plan.annotated if stating else plan.original)
        for i in plan.fold.test:
            sample, written = samples[i], prompts[i]
            calibration = annotated if written.annotation else plan.original
            scored = scored_item(asker, sample, written.prompt)
            values = calibration.apply(scored.scores, scored.readings)
            scores = dict(zip(sample.texts, values.tolist()))
            if length:
                output = asker.output(Ask(written.prompt, max_new_tokens=length))
            else:
                output = max(scores, key=scores.__getitem__, default="")
            judged = score(sample.item, output)
            outcomes.append(SampleResult(sample, number, arm, written, output, judged, scores))
    return outcomes


def judge_all(
    asker: Asker,
    score: Callable[[Item, str], Score],
    samples: Sequence[Sample],
    plans: Sequence[Plan],
    length: int | None,
) -> list[SampleResult]:
    """Asks every plan's prompts and scores the answers.

    Args:
        asker: Who is asked.
        score: Judges an output.
        questions: All of them.
        plans: Folds, with the prompts of every arm.
        length: Judge generated answers of so many tokens, at most; None ranks the candidates.

    Returns:
        Outcomes by arm, in the order of the tables, and by item.
    """
    asker.ask(_ranked_asks(plans, samples), "arms")
    if length:
        asker.ask(_generated_asks(plans, length), "generate")
    outcomes = [
        outcome
        for number, plan in enumerate(plans)
        for outcome in _judge(asker, score, samples, number, plan, length)
    ]
    place = {arm: number for number, arm in enumerate(ARM_NAMES)}
    return sorted(outcomes, key=lambda o: (place[o.arm], o.sample.item.id))


ARMS_ASKED = tuple(spec.name for spec in ARMS if spec.asks_second_question)
GENERATED_TOKENS = 12
GENERATED_ITEMS = 200
"""Test items, at most, that are asked where the answer must be generated, which is slow."""


def ask_second(
    context: ExperimentContext, samples: Sequence[Sample], plans: Sequence[Plan], seed: int
) -> list[SampleResult]:
    """Asks the task's second question, if it has one, with the notes written for the first.

    It is not asked where a language model writes notes, which may well hold the answer to it.

    Args:
        apparatus: Task, model and plugins.
        questions: The first questions.
        plans: Folds, with the prompts of every arm.
        seed: Seed of the sample.

    Returns:
        The outcomes of the items that have a second question.
    """
    task, asker = context.task, context.asker
    freely_written = any(isinstance(a, WrittenNotes) for a in context.annotators)
    if freely_written or not isinstance(task, AsksTwice):
        return []
    found = {i: task.second_question(sample.item) for i, sample in enumerate(samples)}
    asked = {i: _laid_out(task, samples[i], second) for i, second in found.items() if second}
    generated = any(not sample.candidates for sample in asked.values())
    if generated:
        tested = sorted({i for plan in plans for i in plan.fold.test} & asked.keys())
        sample = np.random.default_rng(seed).permutation(tested)[:GENERATED_ITEMS]
        asked = {i: asked[i] for i in sorted(sample.tolist())}
    if not asked:
        return []
    asker.ask((as_ask(q, q.prompt) for q in asked.values() if q.candidates), "second question")
    again = [asked.get(i, sample) for i, sample in enumerate(samples)]
    moved = [_moved(context, plan, asked) for plan in plans]
    length = GENERATED_TOKENS if generated else None
    return judge_all(asker, task.score_second, again, moved, length)


def _laid_out(task: AsksTwice, sample: Sample, second: SecondQuestion) -> Sample:
    candidates = second.candidates or []
    correct = [task.score_second(sample.item, c.text).correct for c in candidates]
    return Sample(
        sample.item,
        second.prompt,
        candidates,
        np.array(correct, dtype=bool),
        sample.gold_reading,
    )


def _moved(context: ExperimentContext, plan: Plan, asked: Mapping[int, Sample]) -> Plan:
    """Returns a fold's plan for the second questions: the same notes in other prompts."""
    fold = Fold(*([i for i in part if i in asked] for part in plan.fold))
    ranked = [asked[i] for i in fold.fit if asked[i].candidates]
    original = fit_calibration([scored_item(context.asker, q, q.prompt) for q in ranked])
    prompts = {
        arm: {
            i: _rewritten(written, asked[i].prompt)
            for i, written in plan.prompts[arm].items()
            if i in asked
        }
        for arm in ARMS_ASKED
        if arm in plan.prompts
    }
    calibrated_on = [i for i in plan.calibrated_on if i in asked]
    # No wording was tried on the second question: few notes are calibrated as none.
    calibrations = {"original": original, "annotated": original}
    return plan._replace(fold=fold, calibrated_on=calibrated_on, prompts=prompts, **calibrations)


def _rewritten(written: ArmPrompt, prompt: Prompt) -> ArmPrompt:
    if written.annotation is None:
        return written._replace(prompt=prompt)
    span = prompt.spans.get("target", prompt.spans["text"])
    return written._replace(prompt=annotate(prompt, written.annotation, span))
