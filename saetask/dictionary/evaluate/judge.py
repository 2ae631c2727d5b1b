"""Validation by a judge: a language model predicts from a label where a feature is active."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.dictionary.collect.contexts import ActivationIndex
from saetask.dictionary.context import DictionaryContext
from saetask.dictionary.evaluate.judge_questions import (
    JudgeQuestion,
    QuestionKind,
    make_judge_questions,
    read_answers,
)
from saetask.dictionary.evaluate.verdicts import MIN_CONTEXTS, Trial, evaluate_claims
from saetask.dictionary.label.base import Label
from saetask.dictionary.manifest import JudgeFigures
from saetask.inference.endpoint import WORKERS, Answer, Endpoint, ask_once
from saetask.utils.journal import Journal
from saetask.utils.parallel import map_ordered
from saetask.utils.progress import counted

if TYPE_CHECKING:
    from jaxtyping import Bool

JUDGE_JOURNAL = "judge.jsonl"
JUDGED_FEATURES = 200
COLUMNS = ("detection_accuracy", "fuzzing_accuracy", "judge_failed")
"""Columns that a judge adds to the features table."""


@dataclass(frozen=True)
class Judge:
    """A language model that judges labels, and the number of labels that it judges."""

    endpoint: Endpoint
    features: int = JUDGED_FEATURES
    """Number of features drawn, from those that fire often enough on test documents."""
    workers: int = WORKERS
    """Number of questions asked at a time."""


class JudgeAnswer(NamedTuple):
    """A question and the judge's answer."""

    question: JudgeQuestion
    answer: Answer


class Judgement(NamedTuple):
    """Result of judging one label; a question without a usable answer counts as answered wrong."""

    firing: "Bool[np.ndarray, ' n']"
    """Whether the feature is active at the end of each unmarked context."""
    claimed: "Bool[np.ndarray, ' n']"
    """The judge's prediction of `firing` from the label."""
    detection: float | None
    """Balanced accuracy on unmarked contexts; None where all of them are active or all silent."""
    fuzzing: float | None
    """Balanced accuracy on marked contexts; None likewise."""
    questions: int
    failed: int
    """Number of questions without a usable answer."""
    prompt_tokens: int
    completion_tokens: int


class JudgedTrials(NamedTuple):
    """Trials after the judge's answers, and the figures of the judge."""

    trials: list[Trial]
    columns: dict[str, list[Any]]
    """Columns of the features table, `COLUMNS`; none without a judge."""
    figures: JudgeFigures | None
    """None without a judge."""


def draw_judged_features(judge: Judge, test: ActivationIndex, seed: int) -> list[int]:
    """Draws the features to judge, uniformly from all that fire often enough for a verdict."""
    frequent = [
        feature
        for feature in range(test.d_sae)
        if test.n_rows(test.tokens_firing_strongly(feature)) >= MIN_CONTEXTS
    ]
    drawn = np.random.default_rng([seed, 4]).permutation(frequent)[: judge.features]
    return sorted(int(feature) for feature in drawn)


def judge_labels(
    judge: Judge, labels: Mapping[int, Label], test: ActivationIndex, context: DictionaryContext
) -> dict[int, Judgement]:
    """Sends the questions about each label to the judge and returns the judgements.

    Args:
        judge: The judge; its answers are kept in the context's `work/` as they arrive.
        labels: The labels to judge, by feature.
        test: Activations on documents that no label was made from.
        context: The dictionary's vocabulary, seed and working folder.

    Raises:
        UserError: The judge can not be reached; earlier answers are kept.
    """

    def questions() -> Iterator[JudgeQuestion]:
        for feature, label in counted(sorted(labels.items()), len(labels), "judge", "label"):
            yield from make_judge_questions(feature, label.text, test, context)

    ask = partial(_ask, judge.endpoint, Journal(context.work / JUDGE_JOURNAL))
    answers = list(map_ordered(ask, questions(), judge.workers))
    by_feature = groupby(answers, key=lambda each: each.question.feature)
    return {feature: _make_judgement(list(each)) for feature, each in by_feature}


def _ask(endpoint: Endpoint, journal: Journal, question: JudgeQuestion) -> JudgeAnswer:
    read = partial(read_answers, n=len(question.truth))
    return JudgeAnswer(question, ask_once(endpoint, journal, question.messages, read))


def _make_judgement(answers: Sequence[JudgeAnswer]) -> Judgement:
    truth, claimed = {}, {}
    kinds: tuple[QuestionKind, ...] = ("detection", "fuzzing")
    for kind in kinds:
        of_kind = [each for each in answers if each.question.kind == kind]
        none = np.zeros(0, bool)
        truth[kind] = np.concatenate([none, *(each.question.truth for each in of_kind)])
        claimed[kind] = np.concatenate([none, *map(_claims, of_kind)])
    accuracy = {kind: _balanced_accuracy(truth[kind], claimed[kind]) for kind in kinds}
    return Judgement(
        truth["detection"],
        claimed["detection"],
        accuracy["detection"],
        accuracy["fuzzing"],
        len(answers),
        sum(each.answer.content is None for each in answers),
        sum(each.answer.prompt_tokens for each in answers),
        sum(each.answer.completion_tokens for each in answers),
    )


def _claims(answered: JudgeAnswer) -> "Bool[np.ndarray, ' n_texts']":
    """Returns the judge's answers; the wrong ones where there is no usable answer."""
    if answered.answer.content is None:
        return ~answered.question.truth
    return np.array(answered.answer.content)


def _balanced_accuracy(
    truth: "Bool[np.ndarray, ' n']", claimed: "Bool[np.ndarray, ' n']"
) -> float | None:
    """Returns the mean of the accuracies on active and on silent texts; None if one is missing."""
    if truth.all() or not truth.any():
        return None
    return float((claimed[truth].mean() + (~claimed[~truth]).mean()) / 2)


def judge_trials(
    judge: Judge | None,
    labels: Sequence[Label],
    trials: Sequence[Trial],
    test: ActivationIndex,
    context: DictionaryContext,
) -> JudgedTrials:
    """Judges labels, and replaces the verdicts of labels in words, which have no rule to test.

    A label in words that was not drawn is not judged. One that was drawn and is empty counts as
    inconsistent.

    Args:
        judge: The judge; None judges no label.
        labels: One for each feature.
        trials: Results of testing the labels' rules.
        test: Activations on documents that no label was made from.
        context: The dictionary's vocabulary, labeler, seed and working folder.

    Raises:
        UserError: The judge can not be reached.
    """
    drawn = draw_judged_features(judge, test, context.seed) if judge else []
    judgements: dict[int, Judgement] = {}
    if judge:
        asked = {feature: labels[feature] for feature in drawn if labels[feature].text}
        judgements = judge_labels(judge, asked, test, context)
    decided = list(trials)
    if context.in_words:
        decided = [
            _trial_in_words(trial, feature in drawn, judgements.get(feature))
            for feature, trial in enumerate(trials)
        ]
    if judge is None:
        return JudgedTrials(decided, {}, None)
    columns = _columns(judgements, len(trials))
    return JudgedTrials(decided, columns, _figures(judge, judgements, len(drawn)))


def _trial_in_words(trial: Trial, drawn: bool, judgement: Judgement | None) -> Trial:
    if trial.verdict in ("dead", "too rare"):
        return trial
    if judgement:
        firing = judgement.firing
        return evaluate_claims(firing, ~firing, judgement.claimed, alive=True)
    return trial if drawn else trial._replace(verdict="not judged")


def _columns(judgements: Mapping[int, Judgement], n_features: int) -> dict[str, list[Any]]:
    rows = [judgements.get(feature) for feature in range(n_features)]
    columns = (
        [row and row.detection for row in rows],
        [row and row.fuzzing for row in rows],
        [row and row.failed for row in rows],
    )
    return dict(zip(COLUMNS, columns))


def _figures(judge: Judge, judgements: Mapping[int, Judgement], n_drawn: int) -> JudgeFigures:
    judged = list(judgements.values())
    return JudgeFigures(
        model=judge.endpoint.model,
        n_drawn=n_drawn,
        n_unlabelled=n_drawn - len(judged),
        detection_accuracy=_mean([row.detection for row in judged]),
        fuzzing_accuracy=_mean([row.fuzzing for row in judged]),
        questions=sum(row.questions for row in judged),
        failed=sum(row.failed for row in judged),
        prompt_tokens=sum(row.prompt_tokens for row in judged),
        completion_tokens=sum(row.completion_tokens for row in judged),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
