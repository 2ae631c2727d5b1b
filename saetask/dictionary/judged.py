"""Verdicts on labels that only a judge can try, and what a judge adds to a validation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saetask.dictionary.examples import FiringIndex
from saetask.dictionary.judging import Judge, Judgement, judge_labels
from saetask.dictionary.labels import Label
from saetask.dictionary.rules import Vocabulary
from saetask.dictionary.subject import Subject
from saetask.dictionary.verdicts import FEWEST, Trial, judge_claims

COLUMNS = ("detection_accuracy", "fuzzing_accuracy", "judge_failed")


class Judged(NamedTuple):
    """Trials after a judge had its say."""

    trials: list[Trial]
    columns: dict[str, list[Any]]
    """Columns of the features table, `COLUMNS`; none without a judge."""
    figures: dict[str, Any] | None
    """How the judge fared; None without one."""


def draw_judged(judge: Judge, test: FiringIndex, seed: int) -> list[int]:
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
    subject: Subject,
    vocabulary: Vocabulary,
    seed: int,
    work: Path,
) -> Judged:
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
        return Judged(decided, {}, None)
    return Judged(decided, _columns(found, len(trials)), _figures(judge, found, len(drawn)))


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
