"""Areas under the curve equal scikit-learn's, and their intervals a slow bootstrap's."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from saetask.utils.auroc import _weighted_aurocs, auroc, macro_auroc


def alone(n):
    return [str(i) for i in range(n)]


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


@given(classified(), st.integers(0, 9))
def test_a_probe_minus_itself_is_nothing_and_minus_another_the_difference(drawn, seed):
    labels, rows = drawn
    probe = {str(c): column for c, column in enumerate(rows.T)}
    other = {name: column[::-1] for name, column in probe.items()}
    groups = alone(len(labels))
    both = macro_auroc(labels, probe, groups, seed, 20, minus=other)
    one, two = (macro_auroc(labels, each, groups, seed, 20) for each in (probe, other))
    assert both.value == pytest.approx(one.value - two.value)
    itself = macro_auroc(labels, probe, groups, seed, 20, minus=probe)
    assert itself.value == 0 and (itself.ci95 is None or tuple(itself.ci95) == (0, 0))
