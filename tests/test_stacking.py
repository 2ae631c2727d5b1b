"""The calibration that joins a probe with the model's own answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_readings import make_reading
from refusals import refusal
from scipy.special import log_softmax, softmax

from saetask.stacking import (
    INNER_FOLDS,
    answer_scores,
    fit_stack,
    inner_folds,
    known_readings,
    stacked_probabilities,
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


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2)), min_size=20, max_size=60))
@pytest.mark.filterwarnings("ignore:The least populated class")
def test_inner_folds_share_no_group_and_fit_on_every_class(rows):
    groups, labels = np.array([f"g{g}" for g, _ in rows]), np.array([label for _, label in rows])
    if len(set(groups)) < INNER_FOLDS:
        return
    held = []
    for fit, held_out in inner_folds(np.zeros(len(rows)), labels, groups.tolist()):
        assert not set(groups[fit]) & set(groups[held_out])
        assert set(labels[fit]) == set(labels)
        held += held_out.tolist()
    assert len(held) == len(set(held))


@pytest.mark.parametrize(
    ("outcomes", "groups", "message"),
    [
        ("aaaa", "1234", "two at least"),
        ("", "", "two at least"),
        ("abab", "1122", "has 2 groups; it needs 3"),
        ("aabb", "1234", "No reading of the fit split has 3 items"),
    ],
)
def test_a_fit_split_that_can_not_be_divided_is_refused_in_one_line(outcomes, groups, message):
    assert message in refusal(known_readings, list(outcomes), list(groups))


def test_known_readings_are_sorted():
    assert known_readings(list("babab"), list("12345")) == ["a", "b"]
