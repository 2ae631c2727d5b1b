"""Calibration: a constant bias towards some kind of answer is removed, and nothing is invented."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, logsumexp

from saetask.detection.calibration import (
    CHANCE,
    FEWEST_ITEMS,
    RIDGE,
    UNCALIBRATED,
    Calibration,
    ScoredItem,
    fit_calibration,
    fit_scaled_softmax,
    improves,
    tested_calibration,
)


def scored(scores, readings, right):
    """Returns an item; `right` are the indices of the right candidates."""
    correct = np.zeros(len(scores), dtype=bool)
    correct[list(right)] = True
    return ScoredItem(np.array(scores, dtype=float), list(readings), correct)


def biased_items(n=400, bias=3.0, signal=1.0, seed=0):
    """Returns items of two readings whose scores favour "a" by a constant."""
    generator = np.random.default_rng(seed)
    items = []
    for _ in range(n):
        right = int(generator.integers(2))
        scores = generator.normal(size=2)
        scores[right] += signal
        scores[0] += bias
        items.append(scored(scores, "ab", [right]))
    return items


def accuracy(items, calibration):
    chosen = [int(calibration.apply(item.scores, item.readings).argmax()) for item in items]
    return np.mean([item.correct[i] for item, i in zip(items, chosen, strict=True)])


def loss(items, slope, offsets):
    """The documented loss, written out: mean negative log-likelihood of a right candidate."""
    total = 0.0
    for item in items:
        logits = slope * item.scores + np.array([offsets[r] for r in item.readings])
        total -= logsumexp(logits[item.correct]) - logsumexp(logits)
    return total / len(items) + RIDGE * sum(value**2 for value in offsets.values())


def test_a_planted_bias_is_removed():
    items, fresh = biased_items(), biased_items(seed=1)
    identity = Calibration(1.0, {})
    calibration = fit_calibration(items)
    assert accuracy(fresh, identity) < 0.6
    assert accuracy(fresh, calibration) > 0.7
    # what a Bayesian would know: two normals one apart, so slope 1 cancels the bias of 3
    difference = calibration.offsets["b"] - calibration.offsets["a"]
    assert difference / calibration.slope == pytest.approx(3.0, abs=0.3)


def test_an_unbiased_model_keeps_its_answers():
    items = biased_items(bias=0.0)
    identity = Calibration(1.0, {})
    assert accuracy(items, fit_calibration(items)) == pytest.approx(
        accuracy(items, identity), abs=0.02
    )


def test_calibrated_probabilities_are_as_often_right_as_they_say():
    items = biased_items(n=3000)
    calibration = fit_calibration(items)
    stated = [np.exp(calibration.apply(i.scores, i.readings)) for i in items]
    confident = [(p.max(), i.correct[p.argmax()]) for p, i in zip(stated, items, strict=True)]
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 1.0)):
        rows = [(p, right) for p, right in confident if low <= p < high]
        assert len(rows) > 100
        assert np.mean([p for p, _ in rows]) == pytest.approx(
            np.mean([right for _, right in rows]), abs=0.06
        )


def test_scores_that_mislead_get_slope_zero_not_a_negative_one():
    items = biased_items(signal=-2.0, bias=0.0)
    assert fit_calibration(items).slope == 0.0


@given(st.lists(st.tuples(st.integers(0, 2), *[st.floats(-20, 20)] * 3), min_size=1, max_size=12))
def test_the_slope_is_never_negative_and_the_fit_never_worse_than_none(rows):
    items = [scored(scores, "abc", [right]) for right, *scores in rows]
    calibration = fit_calibration(items)
    assert calibration.slope >= 0
    assert np.isfinite([calibration.slope, *calibration.offsets.values()]).all()
    fitted = loss(items, *calibration)
    assert fitted <= loss(items, 1.0, dict.fromkeys("abc", 0.0)) + 1e-6


@given(
    st.floats(0, 5),
    st.lists(st.tuples(st.floats(-50, 0), st.sampled_from("abcz")), min_size=1, max_size=9),
)
def test_calibrated_probabilities_sum_to_one(slope, candidates):
    scores, readings = zip(*candidates, strict=True)
    calibration = Calibration(slope, {"a": 1.5, "b": -4.0, "c": 0.0})
    values = calibration.apply(np.array(scores), readings)
    assert np.exp(values).sum() == pytest.approx(1)
    assert len(values) == len(candidates)


def test_items_without_a_right_candidate_change_nothing():
    items = biased_items(n=60)
    silent = [scored([9.0, -9.0], "ab", []), scored([], "", []), scored([1.0], "z", [])]
    assert fit_calibration([*silent, *items, *silent]) == fit_calibration(items)


@pytest.mark.parametrize(
    "items",
    [[], [scored([1, 2], "ab", [])], [scored([1, 2], "aa", [1])], [scored([], "", [])]],
    ids=["none", "no right one", "one reading", "no candidates"],
)
def test_nothing_to_learn_from_leaves_the_scores_as_they_are(items):
    assert fit_calibration(items) == Calibration(1.0, {})


def test_the_fit_equals_a_brute_force_search_over_a_grid():
    items = biased_items(n=30, bias=1.0)
    calibration = fit_calibration(items)
    grid = list(product(np.linspace(0, 3, 31), np.linspace(-2, 2, 21), np.linspace(-2, 2, 21)))
    values = np.array(grid)[:, :, None, None]
    logits = values[:, 0] * np.array([item.scores for item in items]).T + values[:, 1:, 0]
    right = np.array([item.correct for item in items]).T
    gain = np.where(right, logits, -np.inf).max(1) - logsumexp(logits, axis=1)
    losses = RIDGE * (values[:, 1:, 0, 0] ** 2).sum(1) - gain.mean(1)
    best = grid[int(losses.argmin())]
    assert losses.min() == pytest.approx(loss(items, best[0], {"a": best[1], "b": best[2]}))
    assert calibration.slope == pytest.approx(best[0], abs=0.1)
    assert calibration.offsets["a"] == pytest.approx(best[1], abs=0.2)
    assert calibration.offsets["b"] == pytest.approx(best[2], abs=0.2)
    assert loss(items, *calibration) <= losses.min()


def test_items_may_differ_in_their_number_of_candidates():
    generator = np.random.default_rng(0)
    items = []
    for i in range(90):
        n = 2 + i % 4
        readings = ["abcd"[j % 4] for j in range(n)]
        right = int(generator.integers(n))
        scores = generator.normal(size=n) + 2.0 * (np.arange(n) == right)
        items.append(scored(scores, readings, [right]))
    calibration = fit_calibration(items)
    shifts = np.linspace(-0.3, 0.3, 7)
    at = loss(items, *calibration)
    for name, shift in product("abcd", shifts):
        moved = {**calibration.offsets, name: calibration.offsets[name] + shift}
        assert at <= loss(items, calibration.slope, moved) + 1e-6
    assert all(at <= loss(items, calibration.slope + s, calibration.offsets) + 1e-6 for s in shifts)


def test_several_right_candidates_count_together():
    items = [scored([0.0, 0.0, 0.0], "aab", [0, 1])] * 20 + [scored([0.0] * 3, "aab", [2])] * 20
    offsets = fit_calibration(items).offsets
    # half of the probability for "b" alone: it stands against two candidates of "a"
    assert offsets["b"] - offsets["a"] == pytest.approx(np.log(2), abs=0.02)


def test_a_constant_added_to_all_scores_of_an_item_changes_nothing():
    items = biased_items(n=50)
    moved = [item._replace(scores=item.scores - 300.0 - i) for i, item in enumerate(items)]
    first, second = fit_calibration(items), fit_calibration(moved)
    assert first.slope == pytest.approx(second.slope, abs=1e-4)
    assert first.offsets == pytest.approx(second.offsets, abs=1e-4)


def test_a_reading_that_the_fit_did_not_see_has_offset_zero():
    values = Calibration(2.0, {"a": 1.0}).apply(np.array([-1.0, -2.0]), ["a", "unseen"])
    assert values == pytest.approx(log_softmax([-1.0, -4.0]))


def test_no_candidates_give_no_probabilities():
    assert Calibration(2.0, {"a": 1.0}).apply(np.empty(0), []).tolist() == []


# the test that offsets must pass


@pytest.mark.parametrize("n", [0, FEWEST_ITEMS - 1, FEWEST_ITEMS])
def test_too_few_items_with_a_right_candidate_have_no_offset(n):
    items = biased_items(n, bias=30.0, signal=9.0)
    telling_nothing = [scored([1.0, 0.0], "ab", [])] * FEWEST_ITEMS
    expected = fit_calibration(items) if n >= FEWEST_ITEMS else UNCALIBRATED
    assert tested_calibration(items) == expected
    assert tested_calibration([*items, *telling_nothing]) == expected


def guesses(n, seed, bias=0.0):
    """Returns items whose scores say nothing of the right answer."""
    return biased_items(n, bias, signal=0.0, seed=seed)


@pytest.mark.parametrize("bias", [0.0, 3.0])
def test_scores_that_say_nothing_keep_their_answers_but_for_the_level_of_the_test(bias):
    n_trials = 400
    used = sum(
        tested_calibration(guesses(60, seed, bias)) != UNCALIBRATED for seed in range(n_trials)
    )
    # About 1 %: binomial, 3 standard errors.
    assert used / n_trials <= CHANCE + 3 * np.sqrt(CHANCE / n_trials)
    fitted = sum(bool(fit_calibration(guesses(60, seed, bias)).offsets) for seed in range(20))
    assert fitted == 20


def test_the_level_of_the_test_is_kept_and_not_undershot():
    passed = [passes_at(0.2, seed) for seed in range(300)]
    assert 0.1 < np.mean(passed) < 0.3


def passes_at(level, seed):
    """Returns whether a mean that is zero passes the likelihood-ratio test as another one."""
    values = np.random.default_rng(seed).normal(size=50)
    losses = [((values - mean) ** 2).mean() / 2 for mean in (0.0, values.mean())]
    return improves(len(values), *losses, 1, level)


def test_a_strong_bias_is_removed_by_nearly_every_sample_of_sixty():
    sets = [biased_items(60, bias=3.0, signal=1.5, seed=seed) for seed in range(40)]
    assert np.mean([tested_calibration(items) == fit_calibration(items) for items in sets]) > 0.95


def test_readings_that_are_not_equally_frequent_have_offsets():
    # A majority that no chance explains is worth knowing, whatever the scores say.
    items = [item for item in guesses(300, 0) if item.correct[0] or len(item.scores) > 2][:80]
    assert tested_calibration(items) == fit_calibration(items) != UNCALIBRATED


@given(st.integers(0, 99), st.integers(2, 4), st.integers(1, 2))
def test_no_step_from_the_fit_lowers_its_loss(seed, n_choices, n_scores):
    generator = np.random.default_rng(seed)
    scores = [generator.normal(size=(40, n_choices)) for _ in range(n_scores)]
    kinds = np.broadcast_to(np.arange(n_choices), (40, n_choices))
    right = np.argmax(scores[0] + generator.normal(size=(40, n_choices)), axis=1)
    correct = np.arange(n_choices) == right[:, None]
    fit = fit_scaled_softmax(scores, kinds, correct, start=[1.0] * n_scores)

    def plain_loss(weights, biases):
        logits = sum(w * score for w, score in zip(weights, scores, strict=True)) + biases
        return -log_softmax(logits, axis=1)[correct].mean() + RIDGE * (biases**2).sum()

    assert fit.loss == pytest.approx(plain_loss(fit.weights, fit.biases))
    for step in np.eye(n_scores + n_choices) * 0.01:
        for sign in (-1, 1):
            weights = np.maximum(fit.weights + sign * step[:n_scores], 0)
            moved = plain_loss(weights, fit.biases + sign * step[n_scores:])
            assert moved >= fit.loss - 1e-6
