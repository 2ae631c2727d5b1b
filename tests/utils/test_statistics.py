from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm

from saetask.utils.auroc import auroc
from saetask.utils.statistics import (
    accuracy_interval,
    compare,
    holm,
    smallest_detectable_difference,
)

p_value_maps = st.dictionaries(st.sampled_from("hgfedcba"), st.floats(0, 1), max_size=8)
grouped_pairs = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.sampled_from("abcdefgh")), min_size=1, max_size=60
)


def alone(n):
    return [str(i) for i in range(n)]


def columns(rows):
    before, after, groups = zip(*rows, strict=True)
    return np.array(before), np.array(after), list(groups)


def textbook_holm(p_values):
    """Holm's adjusted p of test j: the largest of (m - i + 1) p_(i) over all p_(i) <= p_(j)."""
    m, ordered = len(p_values), sorted(p_values.values())
    return {
        name: min(1.0, max((m - i) * q for i, q in enumerate(ordered) if q <= p))
        for name, p in p_values.items()
    }


# Holm


@given(p_value_maps)
def test_holm_equals_the_textbook_and_keeps_keys_in_order(p_values):
    assert holm(p_values) == pytest.approx(textbook_holm(p_values), abs=1e-12)
    assert list(holm(p_values)) == list(p_values)


@given(p_value_maps)
def test_holm_never_lowers_a_p_value_never_passes_1_and_keeps_the_ranking(p_values):
    adjusted = holm(p_values)
    assert all(p_values[name] <= adjusted[name] <= 1 for name in p_values)
    assert all(
        adjusted[a] <= adjusted[b]
        for a, b in product(p_values, repeat=2)
        if p_values[a] <= p_values[b]
    )


def test_holm_equals_a_worked_example():
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_holm_refuses_what_is_no_p_value(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm({"a": p, "b": 0.5})


# The paired comparison


@given(grouped_pairs)
def test_swapping_before_and_after_mirrors_the_comparison(rows):
    before, after, groups = columns(rows)
    there, back = compare(before, after, groups), compare(after, before, groups)
    assert (there.fixed, there.broken) == (back.broken, back.fixed)
    assert there.difference == -back.difference
    assert there.mcnemar_p == back.mcnemar_p
    assert there.ci95 == pytest.approx((-back.ci95.high, -back.ci95.low))


@given(grouped_pairs)
def test_every_interval_contains_its_point_estimate(rows):
    before, after, groups = columns(rows)
    comparison = compare(before, after, groups)
    assert comparison.ci95.low <= comparison.difference <= comparison.ci95.high
    low, high = accuracy_interval(before, groups)
    assert low <= before.mean() <= high


@given(grouped_pairs)
def test_difference_and_mcnemar_follow_from_the_changed_items(rows):
    before, after, groups = columns(rows)
    result = compare(before, after, groups, n_resamples=10)
    assert result.difference == pytest.approx(after.mean() - before.mean())
    assert result.fixed == sum(a and not b for b, a, _ in rows)
    changed = result.fixed + result.broken
    expected = binomtest(min(result.fixed, result.broken), changed).pvalue if changed else 1.0
    assert result.mcnemar_p == pytest.approx(expected)


@pytest.mark.parametrize(
    ("fixed", "broken", "p"),
    [(0, 0, 1), (1, 0, 1), (5, 0, 2 / 32), (1, 7, 18 / 256), (3, 3, 1), (10, 2, 158 / 4096)],
)
def test_mcnemar_equals_hand_numbers_whatever_did_not_change(fixed, broken, p):
    before = np.array([False] * fixed + [True] * broken + [True] * 4 + [False] * 3)
    after = np.array([True] * fixed + [False] * broken + [True] * 4 + [False] * 3)
    result = compare(before, after, alone(len(before)), n_resamples=10)
    assert (result.fixed, result.broken) == (fixed, broken)
    assert result.mcnemar_p == pytest.approx(p)


def test_the_interval_of_the_difference_is_paired():
    # Two noisy accuracies, one item apart: unpaired resampling would give a wide interval.
    before = np.arange(400) % 2 == 0
    after = before.copy()
    after[1] = True
    low, high = compare(before, after, alone(400)).ci95
    assert 0 <= low <= high < 0.01


# The cluster bootstrap


def test_with_every_item_its_own_group_the_interval_is_the_ordinary_one():
    correct = np.arange(400) < 280
    low, high = accuracy_interval(correct, alone(400))
    half = norm.ppf(0.975) * np.sqrt(0.7 * 0.3 / 400)
    assert (low, high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.006)


def test_copies_of_an_item_in_one_group_do_not_narrow_the_interval():
    once = np.arange(60) < 40
    five_times = np.repeat(once, 5)
    honest = accuracy_interval(five_times, list(np.repeat(alone(60), 5)))
    naive = accuracy_interval(five_times, alone(300))
    assert honest == accuracy_interval(once, alone(60))
    assert honest.high - honest.low > 1.8 * (naive.high - naive.low)


def test_groups_of_unequal_size_equal_a_slow_bootstrap():
    rng = np.random.default_rng(1)
    groups = [str(g) for g in rng.integers(0, 25, 150) ** 2 // 25]
    correct = rng.random(150) < 0.6
    members = [correct[np.array(groups) == g] for g in sorted(set(groups))]
    means = []
    for _ in range(4000):
        drawn = rng.integers(0, len(members), len(members))
        means.append(np.concatenate([members[g] for g in drawn]).mean())
    expected = np.quantile(means, [0.025, 0.975])
    assert accuracy_interval(correct, groups, n_resamples=4000) == pytest.approx(
        expected, abs=0.015
    )


def test_items_may_stand_in_any_order_within_the_groups_order():
    correct = np.array([True, False, True, True, False, False])
    sorted_result = accuracy_interval(correct, list("aabbcc"))
    assert accuracy_interval(correct[[0, 2, 4, 1, 3, 5]], list("abcabc")) == sorted_result


def test_the_seed_alone_decides_every_interval():
    rng = np.random.default_rng(0)
    before, after, scores = rng.random(90) < 0.5, rng.random(90) < 0.5, rng.random(90)
    groups = [str(i // 3) for i in range(90)]
    for figure in (
        lambda seed: accuracy_interval(before, groups, seed),
        lambda seed: compare(before, after, groups, seed),
        lambda seed: auroc(before, scores, groups, seed),
    ):
        assert figure(3) == figure(3) != figure(4)


# AUROC


@given(st.integers(4, 20_000), st.floats(0, 1))
def test_the_detectable_difference_solves_its_equation(n, share):
    d = smallest_detectable_difference(n, share)
    possible_share = max(share, d)
    right = norm.ppf(0.975) * np.sqrt(possible_share)
    right += norm.ppf(0.8) * np.sqrt(max(possible_share - d**2, 0))
    assert 0 < d <= 1
    assert d * np.sqrt(n) == pytest.approx(right)


@given(st.integers(4, 5000), st.floats(0, 0.9))
def test_more_items_or_fewer_changes_never_need_a_larger_difference(n, share):
    d = smallest_detectable_difference(n, share)
    assert smallest_detectable_difference(n + 1, share) < d
    assert smallest_detectable_difference(n, share + 0.1) >= d


@pytest.mark.parametrize(("n", "share"), [(450, 0.2), (1000, 0.1), (450, 0.0)])
def test_mcnemar_finds_the_detectable_difference_about_four_times_in_five(n, share):
    d = smallest_detectable_difference(n, share)
    share = max(share, d)
    rng = np.random.default_rng(0)
    changed = rng.binomial(n, share, 20_000)
    fixed = rng.binomial(changed, (1 + d / share) / 2)
    p_values = 2 * binom.cdf(np.minimum(fixed, changed - fixed), changed, 0.5)
    # The formula is for the asymptotic test; the exact one is a little more cautious.
    assert 0.7 < np.mean(p_values < 0.05) < 0.85


def test_too_few_items_can_show_no_difference():
    assert smallest_detectable_difference(3, 0.5) == float("inf")
    assert smallest_detectable_difference(4, 0.5) < 1


# What is refused


@pytest.mark.parametrize(
    "call",
    [
        lambda: accuracy_interval(np.array([], dtype=bool), []),
        lambda: accuracy_interval(np.array([True]), ["a", "b"]),
        lambda: accuracy_interval(np.array([[True]]), ["a"]),
        lambda: accuracy_interval(np.array([True]), ["a"], n_resamples=0),
        lambda: compare(np.array([], dtype=bool), np.array([], dtype=bool), []),
        lambda: compare(np.array([True]), np.array([True, False]), ["a"]),
        lambda: compare(np.array([True, False]), np.array([True, False]), ["a"]),
        lambda: auroc(np.array([], dtype=bool), np.array([]), []),
        lambda: auroc(np.array([True, False]), np.array([1.0]), ["a", "b"]),
        lambda: auroc(np.array([True, False]), np.array([1.0, np.nan]), ["a", "b"]),
        lambda: auroc(np.array([True, False]), np.array([1.0, 0.0]), ["a", "b"], n_resamples=0),
        lambda: smallest_detectable_difference(0, 0.5),
        lambda: smallest_detectable_difference(10, 1.5),
    ],
)
def test_unequal_lengths_emptiness_and_impossible_settings_are_refused(call):
    with pytest.raises(ValueError):
        call()
