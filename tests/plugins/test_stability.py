"""Stability selection, on probes whose picks we decide."""

import numpy as np

from saetask_plugins.detectors.stability import CANDIDATES, RESAMPLES, stability

LABELS = np.tile([0, 1], 30)
GROUPS = [f"g{i // 6}" for i in range(60)]
WEIGHTS = np.array([[0.5, -0.2, 0.1, 0.3], [-0.5, 0.2, -0.1, -0.3]])
FEATURES = np.arange(4)


def always(weights):
    return lambda rows, columns: np.array(weights, float)[:, columns]


def test_a_column_counts_only_where_it_is_picked_with_the_sign_of_its_weight():
    picks = [[1, 1, 0, 0.01], [-1, -1, 0, 0.01]]
    found = stability(WEIGHTS, FEATURES, LABELS, GROUPS, always(picks))
    assert found.tolist() == [[1, 0, 0, 1], [1, 0, 0, 0]]


def test_a_pick_counts_for_the_features_other_columns_of_the_same_sign():
    picks = [[1, 0, 0, 0], [-1, 0, 0, 0]]
    features = np.array([5, 5, 6, 5])  # the second column of feature 5 weighs the other way
    found = stability(WEIGHTS, features, LABELS, GROUPS, always(picks))
    assert found.tolist() == [[1, 0, 0, 1], [1, 0, 0, 1]]


def test_halves_hold_whole_groups_and_come_with_their_complement():
    seen = []

    def refit(rows, columns):
        seen.append(set(rows.tolist()))
        return np.zeros((2, len(columns)))

    stability(WEIGHTS, FEATURES, LABELS, GROUPS, refit)
    assert len(seen) == RESAMPLES
    for rows in seen:
        groups = {GROUPS[i] for i in rows}
        assert rows == {i for i in range(60) if GROUPS[i] in groups}
        assert len(groups) == 5
        assert set(range(60)) - rows in seen
    assert len({frozenset(rows) for rows in seen}) > RESAMPLES / 2


def test_only_the_heaviest_columns_are_candidates():
    n = CANDIDATES + 50
    weights = np.vstack([np.arange(1, n + 1), -np.arange(1, n + 1)]).astype(float)
    found = stability(weights, np.arange(n), LABELS, GROUPS, always(weights))
    assert (found[:, 50:] == 1).all()
    assert (found[:, :50] == 0).all()


def test_halves_that_lack_a_class_are_left_out_of_the_shares():
    labels = np.array([0] * 54 + [1] * 6)  # one group of ten has the second class
    found = stability(WEIGHTS, FEATURES, labels, GROUPS, always(WEIGHTS))
    assert (found == 1).all()


def test_a_probe_without_columns_has_no_stability():
    found = stability(np.zeros((2, 0)), FEATURES[:0], LABELS, GROUPS, always(WEIGHTS))
    assert found.shape == (2, 0)
