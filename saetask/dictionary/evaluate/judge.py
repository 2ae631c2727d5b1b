"""A language model as the judge of labels: can it tell from a label where the feature fires?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saetask.dictionary.collect.contexts import ActivationIndex
from saetask.dictionary.collect.split_activations import SplitActivations
from saetask.dictionary.evaluate.judge_questions import Question, questions, read_answers
from saetask.dictionary.evaluate.verdicts import FEWEST, Trial, judge_claims
from saetask.dictionary.label.base import Label
from saetask.dictionary.label.rules import Vocabulary
from saetask.inference.endpoint import WORKERS, Answer, Endpoint, ask_once
from saetask.utils.journal import Journal
from saetask.utils.parallel import map_ordered

JUDGE_JOURNAL = "judge.jsonl"
JUDGED = 200


@dataclass(frozen=True)
class Judge:
    """Who judges, and how many labels."""

    endpoint: Endpoint
    features: int = JUDGED
    """Features drawn to be judged, of those that fire often enough on test documents."""
    workers: int = WORKERS
    """Questions at a time."""


class Judgement(NamedTuple):
    """How one label did before the judge. What was not answered counts as answered wrongly."""

    firing: np.ndarray
    """Is the feature active at the end of each unmarked context? `[n]`, bool."""
    claimed: np.ndarray
    """Does the judge say so from the label? `[n]`, bool."""
    detection: float | None
    """Balanced accuracy on unmarked contexts; None where one of the two kinds is missing."""
    fuzzing: float | None
    """Balanced accuracy on marked contexts."""
    questions: int
    failed: int
    """Questions without a usable answer."""
    prompt_tokens: int
    completion_tokens: int


def judge_labels(
    judge: Judge,
    labels: Mapping[int, Label],
    test: ActivationIndex,
    neighbours: np.ndarray,
    vocabulary: Vocabulary,
    seed: int,
    work: Path,
) -> dict[int, Judgement]:
    """Asks the judge about each of the labels.

    Args:
        judge: Who is asked.
        labels: The labels to judge, by feature.
        test: TokenActivations on documents that no label was made from.
        neighbours: The nearest other feature of each, `[d_sae]`.
        vocabulary: The model's tokens.
        seed: Seed of the contexts drawn.
        work: Folder in which answers are kept as they come.

    Raises:
        UserError: The judge can not be reached; what it answered is kept.
    """
    from tqdm import tqdm

    def put() -> Iterator[Question]:
        for feature, label in tqdm(sorted(labels.items()), desc="judge"):
            neighbour = int(neighbours[feature])
            yield from questions(feature, label.text, test, neighbour, vocabulary, seed)

    ask = partial(_ask, judge.endpoint, Journal(work / JUDGE_JOURNAL))
    answered = list(map_ordered(ask, put(), judge.workers))
    by_feature = groupby(answered, key=lambda pair: pair[0].feature)
    return {feature: _judgement(list(pairs)) for feature, pairs in by_feature}


def _ask(endpoint: Endpoint, journal: Journal, question: Question) -> tuple[Question, Answer]:
    read = partial(read_answers, n=len(question.truth))
    return question, ask_once(endpoint, journal, question.messages, read)


def _judgement(answered: Sequence[tuple[Question, Answer]]) -> Judgement:
    truths: dict[str, list[np.ndarray]] = {"detection": [], "fuzzing": []}
    claims: dict[str, list[np.ndarray]] = {"detection": [], "fuzzing": []}
    for question, answer in answered:
        truths[question.kind].append(question.truth)
        usable = answer.content is not None
        claims[question.kind].append(np.array(answer.content) if usable else ~question.truth)
    truth, claimed = (
        {kind: np.concatenate([np.zeros(0, bool), *parts]) for kind, parts in both.items()}
        for both in (truths, claims)
    )
    accuracy = {kind: _balanced_accuracy(truth[kind], claimed[kind]) for kind in truth}
    return Judgement(
        truth["detection"],
        claimed["detection"],
        accuracy["detection"],
        accuracy["fuzzing"],
        len(answered),
        sum(answer.content is None for _, answer in answered),
        sum(answer.prompt_tokens for _, answer in answered),
        sum(answer.completion_tokens for _, answer in answered),
    )


def _balanced_accuracy(truth: np.ndarray, claimed: np.ndarray) -> float | None:
    """Returns the mean of the shares right among the active and among the silent."""
    if truth.all() or not truth.any():
        return None
    return float((claimed[truth].mean() + (~claimed[~truth]).mean()) / 2)


COLUMNS = ("detection_accuracy", "fuzzing_accuracy", "judge_failed")


class JudgedTrials(NamedTuple):
    """Trials after a judge had its say."""

    trials: list[Trial]
    columns: dict[str, list[Any]]
    """Columns of the features table, `COLUMNS`; none without a judge."""
    figures: dict[str, Any] | None
    """How the judge fared; None without one."""


def draw_judged(judge: Judge, test: ActivationIndex, seed: int) -> list[int]:
    """Draws the features to judge, evenly from all that fire often enough for a verdict."""
    features = range(test.firings.d_sae)
    often = [f for f in features if test.n_rows(test.tokens_firing_strongly(f)) >= FEWEST]
    drawn = np.random.default_rng([seed, 4]).permutation(often)[: judge.features]
    return sorted(int(feature) for feature in drawn)


def judged_trials(
    judge: Judge | None,
    in_words: bool,
    labels: Sequence[Label],
    trials: Sequence[Trial],
    subject: SplitActivations,
    vocabulary: Vocabulary,
    seed: int,
    work: Path,
) -> JudgedTrials:
    """Has a judge try labels; gives those in words, which no rule can try, their verdict.

    A label in words that was not drawn is not judged. One that was drawn and could not be made
    counts as inconsistent: it says nothing of the feature.

    Args:
        judge: Who judges; None judges none.
        in_words: Do the labels never have rules?
        labels: One a feature.
        trials: How the labels' rules did.
        subject: The SAE's firings.
        vocabulary: The model's tokens.
        seed: Seed of the features and contexts drawn.
        work: Folder in which answers are kept.

    Raises:
        UserError: The judge can not be reached.
    """
    drawn = draw_judged(judge, subject.test, seed) if judge else []
    asked = {feature: labels[feature] for feature in drawn if labels[feature].text}
    found: dict[int, Judgement] = {}
    if judge:
        test, neighbours = subject.test, subject.neighbours
        found = judge_labels(judge, asked, test, neighbours, vocabulary, seed, work)
    decided = list(trials)
    if in_words:
        decided = [_in_words(trial, f in drawn, found.get(f)) for f, trial in enumerate(trials)]
    if judge is None:
        return JudgedTrials(decided, {}, None)
    return JudgedTrials(decided, _columns(found, len(trials)), _figures(judge, found, len(drawn)))


def _in_words(trial: Trial, drawn: bool, judgement: Judgement | None) -> Trial:
    if trial.verdict in ("dead", "too rare"):
        return trial
    if judgement:
        firing = judgement.firing
        return judge_claims(firing, ~firing, judgement.claimed, alive=True)
    return trial if drawn else trial._replace(verdict="not judged")


def _columns(found: dict[int, Judgement], n_features: int) -> dict[str, list[Any]]:
    rows = [found.get(feature) for feature in range(n_features)]
    figures = (
        [row and row.detection for row in rows],
        [row and row.fuzzing for row in rows],
        [row and row.failed for row in rows],
    )
    return dict(zip(COLUMNS, figures))


def _figures(judge: Judge, found: dict[int, Judgement], n_drawn: int) -> dict[str, Any]:
    judged = list(found.values())
    return {
        "model": judge.endpoint.model,
        "n_drawn": n_drawn,
        "n_unlabelled": n_drawn - len(judged),
        "detection_accuracy": _mean([row.detection for row in judged]),
        "fuzzing_accuracy": _mean([row.fuzzing for row in judged]),
        "questions": sum(row.questions for row in judged),
        "failed": sum(row.failed for row in judged),
        "prompt_tokens": sum(row.prompt_tokens for row in judged),
        "completion_tokens": sum(row.completion_tokens for row in judged),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
