"""Another question about the same item, which the note on the first does not answer.

A note that states the detected reading may be believed without being understood. Where the same
note also helps with a question whose answer it does not state, more than belief is at work.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from saetask.arms import ArmPrompt
from saetask.calibration import fit_calibration
from saetask.fitting import Apparatus, as_ask, scored_item
from saetask.judgement import Outcome, judge_all
from saetask.notes import WrittenNotes
from saetask.plans import Plan
from saetask.prompts import Prompt
from saetask.reformulation import annotate
from saetask.study import Fold, Question
from saetask.tasks import AsksTwice, SecondQuestion

ARMS_ASKED = ("original", "placebo", "saetask", "oracle")
GENERATED_TOKENS = 12
GENERATED_ITEMS = 200
"""Test items, at most, that are asked where the answer must be generated, which is slow."""


def ask_second(
    apparatus: Apparatus, questions: Sequence[Question], plans: Sequence[Plan], seed: int
) -> list[Outcome]:
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
    task, asker = apparatus.task, apparatus.asker
    freely_written = any(isinstance(a, WrittenNotes) for a in apparatus.annotators)
    if freely_written or not isinstance(task, AsksTwice):
        return []
    found = {i: task.second_question(question.item) for i, question in enumerate(questions)}
    asked = {i: _laid_out(task, questions[i], second) for i, second in found.items() if second}
    generated = any(not question.candidates for question in asked.values())
    if generated:
        tested = sorted({i for plan in plans for i in plan.fold.test} & asked.keys())
        sample = np.random.default_rng(seed).permutation(tested)[:GENERATED_ITEMS]
        asked = {i: asked[i] for i in sorted(sample.tolist())}
    if not asked:
        return []
    asker.ask((as_ask(q, q.prompt) for q in asked.values() if q.candidates), "second question")
    again = [asked.get(i, question) for i, question in enumerate(questions)]
    moved = [_moved(apparatus, plan, asked) for plan in plans]
    length = GENERATED_TOKENS if generated else None
    return judge_all(asker, task.score_second, again, moved, length)


def _laid_out(task: AsksTwice, question: Question, second: SecondQuestion) -> Question:
    candidates = second.candidates or []
    correct = [task.score_second(question.item, c.text).correct for c in candidates]
    return Question(
        question.item,
        second.prompt,
        candidates,
        np.array(correct, dtype=bool),
        question.gold_reading,
    )


def _moved(apparatus: Apparatus, plan: Plan, asked: Mapping[int, Question]) -> Plan:
    """Returns a fold's plan for the second questions: the same notes in other prompts."""
    fold = Fold(*([i for i in part if i in asked] for part in plan.fold))
    ranked = [asked[i] for i in fold.fit if asked[i].candidates]
    original = fit_calibration([scored_item(apparatus.asker, q, q.prompt) for q in ranked])
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
