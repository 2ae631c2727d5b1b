import time
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm
from sklearn.metrics import roc_auc_score

from saetask.utils.statistics import (
    _weighted_aurocs,
    accuracy_interval,
    auroc,
    compare,
    holm,
    macro_auroc,
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


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3), st.integers(0, 4)), min_size=1))
def test_weighted_auroc_equals_sklearn_with_ties_and_weights(rows):
    labels, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    (value,) = _weighted_aurocs(labels, scores.astype(float), weights[None])
    drawn = labels[weights > 0]
    if drawn.any() and not drawn.all():
        assert value == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))
    else:
        assert np.isnan(value)


def test_auroc_equals_sklearn_and_its_interval_a_slow_bootstrap():
    rng = np.random.default_rng(2)
    labels = rng.random(200) < 0.3
    scores = rng.normal(size=200).round(1) + labels
    result = auroc(labels, scores, alone(200))
    assert result is not None
    assert result.value == pytest.approx(roc_auc_score(labels, scores))
    assert result.n == 200
    slow = []
    for drawn in rng.integers(0, 200, (1500, 200)):
        true, false = scores[drawn][labels[drawn], None], scores[drawn][~labels[drawn]]
        slow.append((true > false).mean() + (true == false).mean() / 2)
    assert result.ci95 == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=0.015)


def test_auroc_resamples_whole_groups():
    rng = np.random.default_rng(3)
    labels = np.repeat(rng.random(40) < 0.5, 6)
    scores = np.repeat(rng.normal(size=40), 6) + labels
    honest = auroc(labels, scores, list(np.repeat(alone(40), 6)))
    naive = auroc(labels, scores, alone(240))
    assert honest and naive and honest.value == naive.value
    assert honest.ci95 and naive.ci95
    assert honest.ci95.high - honest.ci95.low > 1.8 * (naive.ci95.high - naive.ci95.low)


@pytest.mark.parametrize("label", [True, False])
def test_auroc_of_one_class_is_none(label):
    assert auroc(np.full(5, label), np.arange(5.0), alone(5)) is None


def test_auroc_leaves_out_resamples_with_one_class():
    # One true item: a third of the resamples miss it, and must not turn the interval into NaN.
    result = auroc(np.arange(5) == 4, np.array([1.0, 2, 3, 5, 4]), alone(5))
    assert result is not None and result.ci95 is not None
    assert 0 <= result.ci95.low <= 0.75 <= result.ci95.high == 1


@st.composite
def grouped_classes(draw):
    """Draws classes of items, two at least, their groups, scores, and how often to resample."""
    group = st.sampled_from("pqrst")
    rows = [("a", draw(group)), ("b", draw(group))]
    rows += draw(st.lists(st.tuples(st.sampled_from("abc"), group), max_size=12))
    scores = draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    classes, groups = (list(column) for column in zip(*rows, strict=True))
    return classes, groups, np.array(scores, float), draw(st.integers(1, 4))


def holds_every_class(classes, groups, seed, n_resamples):
    """Tells of each resample whether it holds every class, in the plain way."""
    names = list(dict.fromkeys(groups))
    rng, shares = np.random.default_rng(seed), np.full(len(names), 1 / len(names))
    for counts in rng.multinomial(len(names), shares, n_resamples):
        drawn = {name for name, count in zip(names, counts, strict=True) if count}
        held = {c for c, group in zip(classes, groups, strict=True) if group in drawn}
        yield held == set(classes)


@given(grouped_classes(), st.integers(0, 9))
def test_an_area_has_no_interval_where_no_resample_holds_every_class_and_is_no_error(drawn, seed):
    classes, groups, scores, n_resamples = drawn
    columns = {name: scores * (name != "b") for name in set(classes)}
    macro = macro_auroc(classes, columns, groups, seed, n_resamples)
    measured = list(holds_every_class(classes, groups, seed, n_resamples))
    assert macro is not None and 0 <= macro.value <= 1
    assert (macro.ci95 is not None) == any(measured)
    first = np.array(classes) == "a"
    plain = auroc(first, scores, groups, seed, n_resamples)
    measured = list(holds_every_class(first.tolist(), groups, seed, n_resamples))
    assert plain is not None and plain.value == pytest.approx(roc_auc_score(first, scores))
    assert (plain.ci95 is not None) == any(measured)
    for interval in (macro.ci95, plain.ci95):
        assert interval is None or 0 <= interval.low <= interval.high <= 1


@st.composite
def classified(draw, most_classes=4):
    """Draws classes, each of them twice at least, and probabilities that sum to one, with ties."""
    n_classes = draw(st.integers(2, most_classes))
    classes = draw(st.permutations([*range(n_classes)] * 2))
    classes += draw(st.lists(st.integers(0, n_classes - 1), max_size=20))
    weights = st.lists(st.integers(1, 4), min_size=n_classes, max_size=n_classes)
    rows = np.array(draw(st.lists(weights, min_size=len(classes), max_size=len(classes))), float)
    return [str(c) for c in classes], rows / rows.sum(1, keepdims=True)


@given(classified())
def test_the_macro_auroc_equals_sklearn_one_versus_the_rest(drawn):
    classes, rows = drawn
    columns = {str(c): rows[:, c] for c in range(rows.shape[1])}
    result = macro_auroc(classes, columns, alone(len(classes)), n_resamples=200)
    if rows.shape[1] == 2:
        expected = roc_auc_score(classes, rows[:, 1])
    else:
        expected = roc_auc_score(classes, rows, multi_class="ovr", average="macro")
    assert result.value == pytest.approx(expected)
    assert result.n == len(classes)


def test_the_macro_auroc_of_two_classes_is_the_plain_one_with_its_interval():
    rng = np.random.default_rng(4)
    labels, scores = rng.random(80) < 0.4, rng.integers(1, 16, 80) / 16
    groups = [str(i // 2) for i in range(80)]
    outcomes = ["yes" if label else "no" for label in labels]
    plain = auroc(labels, scores, groups, 3)
    both = macro_auroc(outcomes, {"yes": scores, "no": 1 - scores}, groups, 3)
    assert plain is not None and both is not None
    assert (both.value, both.n) == (pytest.approx(plain.value), 80)
    assert both.ci95 == pytest.approx(plain.ci95)


def test_the_macro_auroc_of_one_class_is_none():
    assert macro_auroc(["a"] * 5, {"a": np.ones(5)}, alone(5)) is None


def test_auroc_of_450_items_takes_under_two_seconds():
    rng = np.random.default_rng(0)
    labels, scores, groups = rng.random(450) < 0.5, rng.random(450), alone(450)
    auroc(labels, scores, groups, n_resamples=1)  # imports scikit-learn
    started = time.process_time()
    auroc(labels, scores, groups)
    assert time.process_time() - started < 2


# The smallest detectable difference


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
