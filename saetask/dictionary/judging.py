"""A language model as the judge of labels: can it tell from a label where the feature fires?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from saetask.dictionary.asking import WORKERS, Answer, ask_once
from saetask.dictionary.examples import FiringIndex
from saetask.dictionary.in_order import in_order
from saetask.dictionary.journal import Journal
from saetask.dictionary.labels import Label
from saetask.dictionary.questions import Question, questions, read_answers
from saetask.dictionary.rules import Vocabulary
from saetask.endpoint import Endpoint

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
    test: FiringIndex,
    neighbours: np.ndarray,
    vocabulary: Vocabulary,
    seed: int,
    work: Path,
) -> dict[int, Judgement]:
    """Asks the judge about each of the labels.

    Args:
        judge: Who is asked.
        labels: The labels to judge, by feature.
        test: Firings on documents that no label was made from.
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

    with Journal(work / JUDGE_JOURNAL) as journal:
        ask = partial(_ask, judge.endpoint, journal)
        answered = list(in_order(ask, put(), judge.workers))
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
        usable = answer.found is not None
        claims[question.kind].append(np.array(answer.found) if usable else ~question.truth)
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
        sum(answer.found is None for _, answer in answered),
        sum(answer.prompt_tokens for _, answer in answered),
        sum(answer.completion_tokens for _, answer in answered),
    )


def _balanced_accuracy(truth: np.ndarray, claimed: np.ndarray) -> float | None:
    """Returns the mean of the shares right among the active and among the silent."""
    if truth.all() or not truth.any():
        return None
    return float((claimed[truth].mean() + (~claimed[~truth]).mean()) / 2)
