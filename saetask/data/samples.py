"""The material of an experiment: items, prompts, answers to rank, and the splits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from saetask.data.prompts import Prompt
from saetask.data.tasks import Candidate, Item, Task
from saetask.errors import UserError

FEWEST_FIT_ITEMS = 20


@dataclass(frozen=True)
class Sample:
    """An item, laid out for asking."""

    item: Item
    prompt: Prompt
    candidates: Sequence[Candidate]
    correct: np.ndarray
    """Whether each candidate is right, `[n_candidates]`, bool."""
    gold_reading: str | None
    auxiliary: bool = False
    """It is none of the run's own: detectors may learn from it, and nobody asks it."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The candidates' texts."""
        return tuple(candidate.text for candidate in self.candidates)

    @property
    def readings(self) -> list[str]:
        """The reading that each candidate stands for."""
        return [candidate.reading for candidate in self.candidates]


class Fold(NamedTuple):
    """What is fitted on, and what the fitted detector is tried on (indices of questions)."""

    fit: list[int]
    test: list[int]
    auxiliary: Sequence[int] = ()
    """What a detector may learn from besides; nothing is calibrated or chosen by it."""


class Study(NamedTuple):
    """Questions and folds; every question that is tested is tested once."""

    samples: list[Sample]
    folds: list[Fold]


def make_samples(task: Task, items: Sequence[Item]) -> list[Sample]:
    """Makes the question of each item."""
    samples = []
    for item in items:
        candidates = task.candidates(item) or []
        correct = np.array([task.score(item, c.text).correct for c in candidates], dtype=bool)
        sample = Sample(item, task.prompt(item), candidates, correct, task.gold_reading(item))
        samples.append(sample)
    return samples


def make_folds(
    task: Task,
    data: Path | None,
    fit_data: Path | None,
    limit: int | None,
    n_folds: int,
    max_fit_items: int,
    seed: int,
    generate: bool = False,
) -> Study:
    """Loads the items and splits them by group.

    Without `fit_data`, each fold's detector is fitted on the other folds' items. With it, one
    detector is fitted on that file, drawn evenly over the readings (how often a reading occurs in
    one data set says nothing of another), and tried on all items; a test item's group never occurs
    in the fit split.

    Raises:
        UserError: Too few items, groups or readings to fit on, or answers are to be ranked (not
            generated) and no item has any.
    """
    from sklearn.model_selection import GroupKFold

    samples = make_samples(task, _limited(task.items(data), limit, seed))
    if not generate and not any(sample.candidates for sample in samples):
        raise UserError(
            f"No item of the task {task.name} has candidate answers to rank; "
            "add --scoring generate."
        )
    if fit_data is not None:
        known = {sample.item.group for sample in samples}
        fit_items = [item for item in task.items(fit_data) if item.group not in known]
        fit = make_samples(task, _even(task, fit_items, max_fit_items, seed))
        _check_fit(len(fit), str(fit_data))
        _check_readings(fit, f"The fit split of {fit_data}", "Give items of another reading.")
        n = len(samples)
        return Study([*samples, *fit], [Fold(list(range(n, n + len(fit))), list(range(n)))])
    groups = [sample.item.group for sample in samples]
    n_folds = min(n_folds, len(set(groups)))
    if n_folds < 2:
        raise UserError(
            f"All {len(samples)} items are of one group, so nothing can be held out; "
            "give more items or a --fit-data file."
        )
    splitter = GroupKFold(n_folds, shuffle=True, random_state=seed)
    folds = [Fold(a.tolist(), b.tolist()) for a, b in splitter.split(samples, groups=groups)]
    _check_fit(min(len(fold.fit) for fold in folds), "a fold")
    source = f"data file {data}" if data else f"task {task.name}"
    _check_readings(samples, f"The {source}", "Give items of another reading or raise --limit.")
    for number, fold in enumerate(folds, 1):
        _check_readings(
            [samples[i] for i in fold.fit],
            f"The fit split of fold {number} of {source}",
            "Give items of another reading in more groups, raise --limit, or give --fit-data.",
        )
    return Study(samples, folds)


def add_auxiliary_samples(task: Task, study: Study, most: int, seed: int) -> Study:
    """Adds the task's built-in items, for detectors to learn from.

    They go to the folds that test none of their group; none that a question repeats is taken.

    Args:
        task: The task; it may have none built in.
        study: Items of a file, and folds.
        most: Take so many at most, as many of each reading as there are to be had.
        seed: Seed of the draw.
    """
    try:
        built_in = task.items()
    except UserError:  # none are built in
        return study
    own = {sample.prompt.content for sample in study.samples}
    laid_out = make_samples(task, _even(task, built_in, most, seed))
    added = [replace(q, auxiliary=True) for q in laid_out if q.prompt.content not in own]
    samples = [*study.samples, *added]
    folds = []
    for fold in study.folds:
        tested = {samples[i].item.group for i in fold.test}
        places = range(len(study.samples), len(samples))
        free = [i for i in places if samples[i].item.group not in tested]
        folds.append(fold._replace(auxiliary=free))
    return Study(samples, folds)


def _limited(items: list[Item], limit: int | None, seed: int) -> list[Item]:
    """Keeps whole groups, drawn at random, until there are `limit` items."""
    if limit is None or limit >= len(items):
        return items
    groups = sorted({item.group for item in items})
    order = np.random.default_rng(seed).permutation(len(groups))
    place = {groups[g]: rank for rank, g in enumerate(order)}
    chosen = sorted(range(len(items)), key=lambda i: (place[items[i].group], i))[:limit]
    return [items[i] for i in sorted(chosen)]


def _even(task: Task, items: list[Item], limit: int, seed: int) -> list[Item]:
    """Draws up to `limit` items at random, as many of each reading as there are to be had."""
    quota = dict.fromkeys(task.readings, limit // len(task.readings))
    chosen = []
    for i in np.random.default_rng(seed).permutation(len(items)):
        reading = task.gold_reading(items[i])
        if reading is not None and quota.get(reading, 0):
            quota[reading] -= 1
            chosen.append(int(i))
    return [items[i] for i in sorted(chosen)]


def _check_fit(n: int, where: str) -> None:
    if n < FEWEST_FIT_ITEMS:
        raise UserError(
            f"The fit split of {where} has {n} items; it needs {FEWEST_FIT_ITEMS} at least. "
            "Give more items or raise --limit."
        )


def _check_readings(samples: Sequence[Sample], where: str, mend: str) -> None:
    """Refuses a fit split in which no two readings could be told apart.

    A detector would refuse it too, but only after the model was asked everything.
    """
    readings = {q.gold_reading for q in samples if q.gold_reading is not None}
    if len(readings) < 2:
        known = f"only the reading '{readings.pop()}'" if readings else "no item's right reading"
        raise UserError(f"{where} knows {known}; fitting needs two readings at least. {mend}")
