"""The calibration that joins a probe with the model's own answer, and the folds that it needs."""

import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, softmax

from saetask.detection.base import DetectorInput, make_misunderstanding
from saetask.detection.stacked_probe import (
    INNER_FOLDS,
    answer_scores,
    fit_stack,
    held_out_loss,
    in_domain_rows,
    inner_folds,
    known_readings,
    labels_of,
    make_findings,
    out_of_fold,
    stacked_probabilities,
)
from tests.helpers.made_up_readings import make_reading
from tests.helpers.refusals import refusal

GROUPS_AND_LABELS = st.lists(
    st.tuples(st.sampled_from("stuvwxyz"), st.integers(0, 2)), min_size=20, max_size=60
)


class Planted:
    """Labels drawn from a known stack of a probe's log-odds and the model's answers."""

    def __init__(self, weights=(1.5, 0.5, 0.0, 0.7, -0.7), n=3000):
        random = np.random.default_rng(0)
        n_classes = len(weights) - 2
        self.log_odds = random.normal(size=(n, n_classes))
        self.answers = random.normal(size=(n, n_classes))
        self.answers -= self.answers.mean(1, keepdims=True)
        probabilities = stacked_probabilities(np.array(weights), self.log_odds, self.answers)
        cumulated = probabilities.cumsum(1)
        self.labels = (random.random((n, 1)) > cumulated[:, :-1]).sum(1)

    def loss(self, stack):
        """Returns the penalised mean loss, in the plain way."""
        total = 0.0
        for row, answer, label in zip(self.log_odds, self.answers, self.labels):
            total -= log_softmax(stack[0] * row + stack[1] * answer + stack[2:])[label]
        return total / len(self.labels) + 0.001 * sum(bias**2 for bias in stack[2:])


def test_the_weights_that_made_the_labels_are_recovered():
    planted = Planted()
    stack = fit_stack(planted.log_odds, planted.answers, planted.labels, 0.01)
    assert stack[:2] == pytest.approx([1.5, 0.5], abs=0.15)
    assert stack[2:] - stack[2:].mean() == pytest.approx([0.0, 0.7, -0.7], abs=0.15)


def test_no_stack_nearby_is_likelier():
    planted = Planted(n=200)
    stack = fit_stack(planted.log_odds, planted.answers, planted.labels)
    random, best = np.random.default_rng(1), planted.loss(stack)
    for _ in range(50):
        assert planted.loss(stack + random.normal(0, 0.1, len(stack))) >= best - 1e-5


def test_a_probe_of_noise_has_no_weight_unless_every_probe_passes():
    planted = Planted((0.0, 0.5, 0.0, 0.0), n=120)
    free = fit_stack(planted.log_odds, planted.answers, planted.labels)
    tested = fit_stack(planted.log_odds, planted.answers, planted.labels, 0.001)
    assert free[0] >= 0
    assert tested[0] == 0 < tested[1]


def test_probes_and_answers_that_mislead_have_no_negative_weight():
    planted = Planted((1.5, 0.5, 0.0, 0.0), n=300)
    stack = fit_stack(-planted.log_odds, -planted.answers, planted.labels)
    assert stack[:2] == pytest.approx([0.0, 0.0], abs=1e-6)


def test_stacked_probabilities_are_a_plain_softmax():
    stack, log_odds, answers = np.array([2.0, 0.5, 0.1, -0.1]), [[1.0, -1.0]], [[0.2, -0.2]]
    (row,) = stacked_probabilities(stack, np.array(log_odds), np.array(answers))
    assert row == pytest.approx(softmax([2.0 + 0.1 + 0.1, -2.0 - 0.1 - 0.1]))


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({"a": -1.0, "b": -3.0, "c": -2.0}, [1.0, -1.0, 0.0]),
        ({"a": -1.0, "b": -np.inf, "c": -4.0}, [2.0, -1.0, -1.0]),
        ({"a": -1.0, "c": -4.0}, [2.0, -1.0, -1.0]),
        (dict.fromkeys("abc", -np.inf), [0.0, 0.0, 0.0]),
    ],
    ids=["all ranked", "one without a candidate", "one unknown", "none ranked"],
)
def test_answers_are_centred_and_what_no_candidate_stands_for_is_as_improbable_as_any(
    scores, expected
):
    assert answer_scores([make_reading(scores)], "abc")[0] == pytest.approx(expected)


@given(GROUPS_AND_LABELS)
def test_inner_folds_share_no_group_and_hold_every_prompt_out_once(rows):
    groups, labels = (np.array(column) for column in zip(*rows))
    assume(len(set(groups)) >= INNER_FOLDS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a class of one item is no news
        folds = inner_folds(labels, groups.tolist())
    for fit, held_out in folds:
        assert not set(groups[fit]) & set(groups[held_out])
        assert sorted([*fit, *held_out]) == list(range(len(rows)))
    assert sorted(np.concatenate([fold.held_out for fold in folds])) == list(range(len(rows)))


@given(GROUPS_AND_LABELS)
@example([*zip("stuvwxystuvwxy", [0] * 7 + [1] * 7), ("z", 2)])
def test_log_odds_come_from_other_groups_and_are_zero_where_a_class_was_not_seen(rows):
    groups, labels = (np.array(column) for column in zip(*rows))
    assume(len(set(groups)) >= INNER_FOLDS)

    def log_odds(fit, held_out):
        assert not set(groups[fit]) & set(groups[held_out])
        assert set(labels[fit]) == set(labels)
        return np.stack([held_out + 1.0] * len(set(labels)), axis=1)

    found = out_of_fold(labels, groups.tolist(), log_odds)
    assert found.shape == (len(rows), len(set(labels)))
    for fit, held_out in inner_folds(labels, groups.tolist()):
        expected = held_out + 1 if set(labels[fit]) == set(labels) else 0 * held_out
        assert found[held_out].T.tolist() == [expected.tolist()] * found.shape[1]


def test_the_held_out_loss_is_the_mean_surprise_of_the_right_classes():
    log_odds = np.log([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]) + np.array([[3.0], [-7.0]])
    expected = -(np.log(0.25) + np.log(0.8)) / 2
    assert held_out_loss(log_odds, np.array([2, 1])) == pytest.approx(expected)


def test_labels_are_places_among_the_known_readings():
    assert labels_of(["b", "a", "c"], ["a", "b", "c"]).tolist() == [1, 0, 2]


LOG_ODDS = arrays(float, st.tuples(st.integers(1, 5), st.just(2)), elements=st.floats(-5, 5))


def found_in(log_odds, weight, bias=0.0):
    """Returns the findings of prompts that the model answers with "a", a little unsurely."""
    readings = [
        make_reading({"a": -0.1 * (i + 1), "b": -2.0}, f"the cold {i}")
        for i in range(len(log_odds))
    ]
    answers, stack = answer_scores(readings, "ab"), np.array([weight, 0.5, 0.0, bias])
    explain = partial(make_misunderstanding, "it")
    found = make_findings(readings, ["a", "b"], stack, log_odds, answers, explain)
    return found, stacked_probabilities(stack, log_odds, answers)


@given(LOG_ODDS)
def test_every_prompt_has_a_finding_of_its_own_probabilities(log_odds):
    for i, (finding, row) in enumerate(zip(*found_in(log_odds, 1.5), strict=True)):
        assert [finding.probabilities[name] for name in "ab"] == pytest.approx(row)
        stated = [(m.reading, m.probability) for m in finding.misunderstandings]
        assert stated == ([("b", finding.failure)] if row[1] > row[0] else []), i


@given(LOG_ODDS)
def test_nothing_is_found_by_a_probe_without_weight_though_a_bias_outvotes_the_answer(log_odds):
    findings, probabilities = found_in(log_odds, 0.0, bias=9.0)
    assert (probabilities[:, 1] > 0.9).all()
    for finding, row in zip(findings, probabilities, strict=True):
        assert finding.misunderstandings == []
        assert [finding.probabilities[name] for name in "ab"] == pytest.approx(row)
        assert finding.failure == pytest.approx(row[1])
    assert all(finding.misunderstandings for finding in found_in(log_odds, 1e-9, bias=9.0)[0])


@pytest.mark.parametrize(
    ("gold_readings", "groups", "message"),
    [
        ("aaaa", "1234", "two at least"),
        ("", "", "two at least"),
        ("abab", "1122", "has 2 groups; it needs 3"),
        ("aabb", "1234", "No reading of the fit split has 3 items"),
    ],
)
def test_a_fit_split_that_can_not_be_divided_is_refused_in_one_line(gold_readings, groups, message):
    assert message in refusal(known_readings, list(gold_readings), list(groups))


def test_known_readings_are_sorted():
    assert known_readings(list("babab"), list("12345")) == ["a", "b"]


def test_own_rows_leave_out_what_is_borrowed():
    readings = [
        DetectorInput(None, "", {}, {}, auxiliary=auxiliary) for auxiliary in (False, True, False)
    ]
    assert in_domain_rows(readings).tolist() == [0, 2]
    assert len(in_domain_rows([])) == 0
