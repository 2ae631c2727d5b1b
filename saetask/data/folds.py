"""Folds: how samples are drawn and split, so that no group is on both sides."""

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saetask.data.answerability import check_candidates
from saetask.data.samples import Sample, make_samples
from saetask.data.tasks import Item, Task, check_items
from saetask.errors import UserError

FEWEST_FIT_ITEMS = 20


class Fold(NamedTuple):
    """The samples of one train/test split; no group is in both parts."""

    train: list[Sample]
    """What the pipeline and its calibrations are fitted on."""
    test: list[Sample]
    auxiliary: Sequence[Sample] = ()
    """Further samples for training detectors; of no group that is tested."""


class ItemSet(NamedTuple):
    """Items, and what they are called in messages."""

    items: list[Item]
    name: str
    """Such as `the built-in items of metaphor` or `the file verbs.jsonl`."""
    path: Path | None = None
    """Their file, if there is one."""


class SplitConfig(NamedTuple):
    """How items are drawn and split."""

    limit: int | None = None
    """Maximum number of items to test; whole groups are drawn until it is reached."""
    n_folds: int = 5
    """Number of folds where there are no separate items to fit on."""
    max_fit_items: int = 800
    """Maximum number of separate items to fit on, drawn evenly over the readings."""
    seed: int = 0


def all_samples(folds: Iterable[Fold]) -> list[Sample]:
    """Returns every sample of the folds once, in order of position."""
    parts = (part for fold in folds for part in fold)
    return sorted({sample for part in parts for sample in part}, key=lambda s: s.position)


def training_samples(folds: Iterable[Fold]) -> list[Sample]:
    """Returns every sample that some fold trains on, auxiliary ones aside, in order of position."""
    return sorted({s for fold in folds for s in fold.train}, key=lambda s: s.position)


def make_folds(
    task: Task,
    tested: ItemSet,
    config: SplitConfig,
    separate: ItemSet | None = None,
    generate: bool = False,
) -> list[Fold]:
    """Splits items by group into folds.

    Each fold trains on the items of the other folds, and every item is tested once. Where there
    are separate items to train on, there is one fold, which trains on those of them whose group is
    not tested, drawn evenly over the readings (how often a reading occurs in one data set says
    nothing of another).

    Args:
        task: The task of the items.
        tested: The items to test.
        config: How items are drawn and split.
        separate: Items to train on, none of which is tested.
        generate: Answers are generated, so no item needs candidates.

    Raises:
        UserError: There are too few items, groups or readings to fit on, or answers are to be
            ranked and most items have no candidates to choose from.
    """
    tested = tested._replace(items=check_items(tested.items, tested.name))
    samples = make_samples(task, _limited(tested.items, config.limit, config.seed))
    if not generate and not any(sample.candidates for sample in samples):
        raise UserError(
            f"No item of the task {task.name} has candidate answers to rank; "
            "add --scoring generate."
        )
    if not generate:
        check_candidates(task, samples, tested.name, tested.path)
    if separate is not None:
        separate = separate._replace(items=check_items(separate.items, separate.name))
        return [_separate_fold(task, samples, separate, config)]
    return _cross_validation_folds(samples, tested.name, config)


def _separate_fold(
    task: Task, samples: list[Sample], separate: ItemSet, config: SplitConfig
) -> Fold:
    tested = {sample.group for sample in samples}
    free = [item for item in separate.items if item.group not in tested]
    drawn = _even(task, free, config.max_fit_items, config.seed)
    train = make_samples(task, drawn, len(samples))
    advice = "Give more items, of groups that are not tested."
    _check_fit(len(train), separate.name, advice)
    _check_readings(train, separate.name, "Give items of another reading.")
    return Fold(train, samples)


def _cross_validation_folds(samples: list[Sample], name: str, config: SplitConfig) -> list[Fold]:
    n_folds = min(config.n_folds, len({sample.group for sample in samples}))
    if n_folds < 2:
        raise UserError(
            f"All {len(samples)} items are of one group, so nothing can be held out; "
            "give more items or a --fit-data file."
        )
    folds = [
        Fold([samples[i] for i in train], [samples[i] for i in test])
        for train, test in _splits(samples, n_folds, config.seed)
    ]
    _check_fold_sizes(folds, samples, config)
    more = ", raise --limit" if config.limit else ""
    _check_readings(samples, name, f"Give items of another reading{more}.")
    advice = f"Give items of another reading in more groups{more}, or give --fit-data."
    for number, fold in enumerate(folds, 1):
        _check_readings(fold.train, f"fold {number} of {name}", advice)
    return folds


def _splits(samples: list[Sample], n_folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the indices of each fold's training and test samples.

    Groups stay whole, and each fold has about as much of every right reading as the others:
    otherwise the reading that is frequent in what is fitted on is rare in what is tested.
    """
    readings = [sample.gold_reading or "" for sample in samples]
    counts = Counter(readings)
    # Readings that can not be spread over the folds are taken together.
    classes = [reading if counts[reading] >= n_folds else "" for reading in readings]
    return stratified_splits(classes, [sample.group for sample in samples], n_folds, seed)


def stratified_splits(
    classes: Sequence[Any], groups: Sequence[str], n_folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns indices of folds that share no group, their classes as even as groups allow.

    Args:
        classes: Class of each item.
        groups: Group of each item; at least `n_folds` different ones.
        n_folds: Number of folds.
        seed: Seed of the order in which equally uneven groups are taken.

    Returns:
        What is fitted on and what is held out; no part is empty.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with fewer items than folds is no news
        splits = list(splitter.split(classes, classes, groups))
    if all(len(held_out) for _, held_out in splits):
        return splits
    # It left a fold empty, where rounding breaks a tie between folds.
    return list(GroupKFold(n_folds).split(classes, groups=groups))


def add_auxiliary_samples(task: Task, folds: list[Fold], maximum: int, seed: int) -> list[Fold]:
    """Adds the task's built-in items to the folds, for training detectors.

    A fold gets those whose group it does not test; items whose prompt the folds hold already are
    left out.

    Args:
        task: The task; it may have no built-in items.
        folds: Folds of other items.
        maximum: Maximum number of items to add, drawn evenly over the readings.
        seed: Seed of the draw.
    """
    try:
        built_in = task.items()
    except UserError:  # the task has none
        return folds
    own = all_samples(folds)
    contents = {sample.prompt.content for sample in own}
    drawn = make_samples(task, _even(task, built_in, maximum, seed), len(own), auxiliary=True)
    added = [sample for sample in drawn if sample.prompt.content not in contents]
    return [
        fold._replace(auxiliary=[s for s in added if s.group not in {t.group for t in fold.test}])
        for fold in folds
    ]


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


def _check_fit(n: int, name: str, advice: str) -> None:
    if n < FEWEST_FIT_ITEMS:
        raise UserError(
            f"The fit split of {name} has {n} items; it needs {FEWEST_FIT_ITEMS} at least. {advice}"
        )


def _check_fold_sizes(folds: list[Fold], samples: list[Sample], config: SplitConfig) -> None:
    """Refuses folds that leave too little to fit on, with advice that fits what was given."""
    smallest = min(len(fold.train) for fold in folds)
    if smallest >= FEWEST_FIT_ITEMS:
        return
    n_groups = len({sample.group for sample in samples})
    more_folds = range(len(folds) + 1, n_groups + 1)
    enough = next((n for n in more_folds if _folds_suffice(samples, n, config.seed)), None)
    if enough:
        advice = f"With these {len(samples)} items, give --folds {enough}."
    elif config.limit is not None:
        # Each fold holds out one part of `n_folds`; groups stay whole, so a fifth is added.
        wanted = 1.2 * FEWEST_FIT_ITEMS * config.n_folds / (config.n_folds - 1)
        advice = f"Raise --limit to about {math.ceil(wanted / 10) * 10} or leave it out."
    else:
        advice = "Give more items, or items to fit on with --fit-data."
    _check_fit(smallest, "a fold", advice)


def _folds_suffice(samples: list[Sample], n_folds: int, seed: int) -> bool:
    """Returns whether every one of `n_folds` folds has enough samples to fit on."""
    splits = _splits(samples, n_folds, seed)
    return min(len(train) for train, _ in splits) >= FEWEST_FIT_ITEMS


def _check_readings(samples: Sequence[Sample], name: str, advice: str) -> None:
    """Refuses a fit split that holds fewer than two readings, before the model is asked."""
    readings = {sample.gold_reading for sample in samples} - {None}
    if len(readings) < 2:
        known = f"only the reading '{readings.pop()}'" if readings else "no item's right reading"
        raise UserError(
            f"The fit split of {name} knows {known}; fitting needs two readings at least. {advice}"
        )
