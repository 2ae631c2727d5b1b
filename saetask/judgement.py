"""A fold's test items, asked and scored in every arm."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from saetask.answers import Ask, Asker
from saetask.arms import ARMS, ArmPrompt
from saetask.calibration import calibration_or
from saetask.fitting import as_ask, scored_item
from saetask.plans import Plan
from saetask.study import Question
from saetask.tasks import Item, Score


class Outcome(NamedTuple):
    """One item in one arm."""

    question: Question
    fold: int
    arm: str
    written: ArmPrompt
    output: str
    score: Score
    scores: dict[str, float]
    """Calibrated log-probability of each candidate answer."""


def _ranked_asks(plans: Sequence[Plan], questions: Sequence[Question]) -> list[Ask]:
    """Returns what every plan ranks, the prompts of one item side by side."""
    found: dict[int, list[Ask]] = {}
    for plan in plans:
        for prompts in plan.prompts.values():
            for i, written in prompts.items():
                if questions[i].candidates:
                    found.setdefault(i, []).append(as_ask(questions[i], written.prompt))
    return [ask for i in sorted(found) for ask in found[i]]


def _generated_asks(plans: Sequence[Plan], length: int) -> Iterable[Ask]:
    """Returns what every plan has generated: its test items, in every arm."""
    for plan in plans:
        for prompts in plan.prompts.values():
            yield from (Ask(prompts[i].prompt, max_new_tokens=length) for i in plan.fold.test)


def _judge(
    asker: Asker,
    score: Callable[[Item, str], Score],
    questions: Sequence[Question],
    number: int,
    plan: Plan,
    length: int | None,
) -> list[Outcome]:
    """Scores a fold's test items in every arm.

    Annotated prompts are calibrated on the arm's annotated fit items; a prompt that an arm leaves
    as it is keeps the answer of the original.
    """
    outcomes = []
    for arm, prompts in plan.prompts.items():
        rows = [
            scored_item(asker, questions[i], prompts[i].prompt)
            for i in plan.calibrated_on
            if prompts[i].annotation
        ]
        # Where these are too few, a note that states a finding counts as one that states the right
        # reading in the same wording does (which was tried on fit items), any other as no note.
        stating = any(written.misunderstandings for written in prompts.values())
        annotated = calibration_or(rows, plan.annotated if stating else plan.original)
        for i in plan.fold.test:
            question, written = questions[i], prompts[i]
            calibration = annotated if written.annotation else plan.original
            scored = scored_item(asker, question, written.prompt)
            values = calibration.apply(scored.scores, scored.readings)
            scores = dict(zip(question.texts, values.tolist()))
            if length:
                output = asker.output(Ask(written.prompt, max_new_tokens=length))
            else:
                output = max(scores, key=scores.__getitem__, default="")
            judged = score(question.item, output)
            outcomes.append(Outcome(question, number, arm, written, output, judged, scores))
    return outcomes


def judge_all(
    asker: Asker,
    score: Callable[[Item, str], Score],
    questions: Sequence[Question],
    plans: Sequence[Plan],
    length: int | None,
) -> list[Outcome]:
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
    asker.ask(_ranked_asks(plans, questions), "arms")
    if length:
        asker.ask(_generated_asks(plans, length), "generate")
    outcomes = [
        outcome
        for number, plan in enumerate(plans)
        for outcome in _judge(asker, score, questions, number, plan, length)
    ]
    place = {arm: number for number, arm in enumerate(ARMS)}
    return sorted(outcomes, key=lambda o: (place[o.arm], o.question.item.id))
