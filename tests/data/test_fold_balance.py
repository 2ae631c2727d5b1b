"""Folds are as even as groups allow: what is frequent where we fit is not rare where we test."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold

from saetask.data.folds import ItemSet, SplitConfig, make_folds, stratified_splits
from saetask.detection.calibration import ScoredItem, fit_calibration, tested_calibration
from tests.helpers.letters_task import Letters

LEFT_EMPTY = [(6, 2), (5, 0), (3, 0), (0, 1), (0, 3)]
"""Numbers of two classes by group, of which scikit-learn leaves one of five folds empty."""


def folds_of(golds, groups, n_folds=5, seed=0):
    task, config = Letters(groups, golds, "abc"), SplitConfig(n_folds=n_folds, seed=seed)
    return make_folds(task, ItemSet(task.items(), "the letters"), config)


def rows_of(counts):
    """Returns the class and the group of each item, from numbers of two classes by group."""
    rows = [
        (c, f"g{g}") for g, pair in enumerate(counts) for c, n in zip("ab", pair) for _ in range(n)
    ]
    return [list(column) for column in zip(*rows)]


counts_by_group = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(sum), min_size=5, max_size=14
).filter(lambda counts: sum(map(sum, counts)) >= 12)


@given(counts_by_group, st.integers(2, 5), st.integers(0, 3))
@example(LEFT_EMPTY, 5, 0)
def test_groups_stay_whole_no_fold_is_empty_and_every_item_is_held_out_once(counts, n_folds, seed):
    classes, groups = rows_of(counts)
    splits = stratified_splits(classes, groups, n_folds, seed)
    assert len(splits) == n_folds
    for fit, held_out in splits:
        assert len(fit) and len(held_out)
        assert sorted([*fit, *held_out]) == list(range(len(groups)))
        assert not {groups[i] for i in fit} & {groups[i] for i in held_out}
    assert sorted(np.concatenate([held_out for _, held_out in splits])) == list(range(len(groups)))


def unevenness(golds, test_parts):
    """Returns how far the share of the first reading in each part is from the whole's, at most."""
    share = np.mean([gold == "a" for gold in golds])
    return max(abs(np.mean([gold == "a" for gold in part]) - share) for part in test_parts)


def test_readings_are_spread_more_evenly_than_by_the_sizes_of_groups_alone():
    groups, ours, plain = [f"g{i // 4}" for i in range(120)], [], []
    for seed in range(10):
        golds = np.random.default_rng(seed).permutation(["a", "b"] * 60).tolist()
        folds = folds_of(golds, groups, seed=seed)
        assert all(abs(len(fold.test) - 24) <= 8 for fold in folds)
        ours.append(unevenness(golds, [[s.gold_reading for s in fold.test] for fold in folds]))
        splits = GroupKFold(5).split(golds, groups=groups)
        plain.append(unevenness(golds, [[golds[i] for i in test] for _, test in splits]))
    assert np.mean(ours) < np.mean(plain) / 2


def test_a_reading_that_is_too_rare_for_the_folds_unbalances_nothing():
    golds = ["a", "b"] * 30 + ["c"]
    folds = folds_of(golds, [f"g{i // 2}" for i in range(60)] + ["g60"])
    counts = [Counter(s.gold_reading for s in fold.test) for fold in folds]
    assert {count["a"] for count in counts} == {count["b"] for count in counts} == {6}


def accuracy_over_permuted_labels(seed, fit):
    """Returns how often a biased model is right whose scores say nothing of the right reading."""
    random = np.random.default_rng(seed)
    golds = random.permutation(["a", "b"] * 40).tolist()
    scores = {str(i): random.normal((3.0, 0.0)) for i in range(len(golds))}

    def item(sample):
        right = np.array([sample.gold_reading == name for name in "ab"])
        return ScoredItem(scores[sample.id], ["a", "b"], right)

    right = []
    for fold in folds_of(golds, [f"g{i // 4}" for i in range(80)], seed=seed):
        calibration = fit([item(sample) for sample in fold.train])
        for tested in map(item, fold.test):
            chosen = calibration.apply(tested.scores, tested.readings).argmax()
            right.append(tested.correct[chosen])
    return np.mean(right)


def test_where_the_model_knows_nothing_it_is_right_by_chance_and_not_below_it():
    tested = [accuracy_over_permuted_labels(seed, tested_calibration) for seed in range(30)]
    assert np.mean(tested) == pytest.approx(0.5, abs=0.005)
    untested = [accuracy_over_permuted_labels(seed, fit_calibration) for seed in range(30)]
    assert np.mean(untested) < 0.49  # an offset that is no more than the fit split's majority
