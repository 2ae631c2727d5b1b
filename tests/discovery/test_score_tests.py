import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.discovery.score_tests import (
    adjust_failures,
    benjamini_hochberg,
    block_permutations,
    permutation_p_values,
    residuals,
    screening_statistics,
    statistics,
)


def drawn(seed, n=60, m=4, n_groups=None):
    """Returns failures, two confounders, presence, and groups."""
    generator = np.random.default_rng(seed)
    groups = np.arange(n) if n_groups is None else generator.integers(0, n_groups, n)
    presence = (generator.random((n, m)) < 0.3).astype(float)
    return (generator.random(n) < 0.4) * 1.0, generator.normal(size=(n, 2)), presence, groups


def by_hand(presence, failures, confounders, groups):
    """The statistic of one column, by a least-squares fit and a loop over groups."""
    design = np.column_stack([np.ones(len(failures)), confounders])

    def left(column):
        return column - design @ np.linalg.lstsq(design, column, rcond=None)[0]

    products = left(presence) * left(failures)
    sums = [products[groups == group].sum() for group in set(groups.tolist())]
    return sum(sums) / np.sqrt(sum(each**2 for each in sums))


@pytest.mark.parametrize("n_groups", [None, 12])
@given(seed=st.integers(0, 1000))
def test_statistics_are_those_of_least_squares_and_a_loop_over_groups(n_groups, seed):
    failures, confounders, presence, groups = drawn(seed, n_groups=n_groups)
    adjusted = adjust_failures(failures, confounders, groups)
    left = residuals(presence, adjusted.basis)
    fast = statistics(left, adjusted.residual[None], adjusted.groups)[0]
    slow = [by_hand(column, failures, confounders, groups) for column in presence.T]
    np.testing.assert_allclose(fast, slow, atol=1e-9)


@given(seed=st.integers(0, 1000))
def test_screening_is_the_same_statistic_with_every_prompt_a_group(seed):
    failures, confounders, presence, groups = drawn(seed)
    adjusted = adjust_failures(failures, confounders, groups)
    left = residuals(presence, adjusted.basis)
    whole = statistics(left, adjusted.residual[None], groups)[0]
    screened = screening_statistics(presence, adjusted.basis, adjusted.residual[:, None])[:, 0]
    np.testing.assert_allclose(screened, whole, atol=1e-9)


def test_a_confounder_that_is_constant_or_given_twice_changes_nothing():
    failures, confounders, _, groups = drawn(0)
    doubled = np.column_stack([confounders, confounders, np.full(len(failures), 7.0)])
    one, other = (adjust_failures(failures, given, groups) for given in (confounders, doubled))
    np.testing.assert_allclose(one.residual, other.residual, atol=1e-9)


def test_presence_that_a_confounder_explains_tells_nothing():
    failures, confounders, _, groups = drawn(0)
    confounders[:, 0] = failures  # as extreme as can be
    adjusted = adjust_failures(1.0 * failures, confounders, groups)
    p = permutation_p_values(failures[:, None], adjusted, np.random.default_rng(0), 99)
    assert p == 1


@given(seed=st.integers(0, 1000))
def test_the_order_of_prompts_does_not_change_a_statistic(seed):
    failures, confounders, presence, groups = drawn(seed, n_groups=15)
    order = np.random.default_rng(seed).permutation(len(failures))
    values = []
    for rows in (np.arange(len(failures)), order):
        adjusted = adjust_failures(failures[rows], confounders[rows], groups[rows])
        left = residuals(presence[rows], adjusted.basis)
        values.append(statistics(left, adjusted.residual[None], adjusted.groups))
    np.testing.assert_allclose(*values, atol=1e-9)


@pytest.mark.parametrize("grouped", [False, True])
def test_p_values_are_uniform_where_nothing_is_planted(grouped):
    """With groups, both presence and failures are the same in a group, of 1 to 6 prompts."""
    p_values = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        sizes = generator.integers(1, 7, 70) if grouped else np.ones(200, int)
        groups = np.repeat(np.arange(len(sizes)), sizes)
        failures = (generator.random(len(sizes)) < 0.3)[groups] * 1.0
        presence = (generator.random((len(sizes), 5)) < 0.2)[groups] * 1.0
        adjusted = adjust_failures(failures, generator.normal(size=(len(groups), 1)), groups)
        p_values += permutation_p_values(presence, adjusted, generator, 99).tolist()
    for level in (0.05, 0.2, 0.5):
        error = 3 * np.sqrt(level * (1 - level) / len(p_values))
        assert abs(np.mean(np.array(p_values) <= level) - level) < error


def test_a_planted_difference_has_a_small_p_value_and_its_opposite_a_large_one():
    generator = np.random.default_rng(0)
    presence = (generator.random(300) < 0.3).astype(float)
    failures = (generator.random(300) < 0.2 + 0.4 * presence).astype(float)
    adjusted = adjust_failures(failures, np.empty((300, 0)), np.arange(300))
    both = np.column_stack([presence, 1 - presence])
    p = permutation_p_values(both, adjusted, generator, 199)
    assert p[0] == 1 / 200 and p[1] == 1


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_permutations_move_groups_as_blocks(sizes, seed):
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    places = np.argsort(groups, kind="stable")
    for order in block_permutations(groups, np.random.default_rng(seed), 5):
        assert sorted(order.tolist()) == list(range(len(groups)))
        moved = groups[order[places]]
        assert np.count_nonzero(np.diff(moved)) == len(sizes) - 1  # every group in one piece


def test_q_values_of_nothing_are_nothing():
    assert benjamini_hochberg(np.empty(0)).shape == (0,)
    np.testing.assert_allclose(benjamini_hochberg(np.array([0.01, 0.04])), [0.02, 0.04])
