"""What a finding is made of: readings, probabilities, and what the answer follows."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.detection import Misunderstanding, make_finding, make_misunderstanding
from saetask.detection.base import Finding
from tests.helpers.made_up_readings import CONTENT, TARGET, make_reading

NAMES = "abcd"
probability_maps = st.dictionaries(st.sampled_from(NAMES), st.floats(0.01, 1), min_size=1).map(
    lambda found: {name: value / sum(found.values()) for name, value in found.items()}
)
answer_maps = st.fixed_dictionaries({name: st.just(-np.inf) | st.floats(-9, 0) for name in NAMES})


def explain(reading, name):
    return make_misunderstanding("probe", reading, name)


@given(probability_maps, answer_maps)
def test_a_finding_equals_the_obvious_one(probabilities, scores):
    reading = make_reading(scores)
    finding = make_finding(reading, probabilities, explain)
    possible = [name for name in probabilities if scores[name] > -math.inf]
    expected = dict(probabilities)
    if possible:
        total = sum(probabilities[name] for name in possible)
        expected = {n: probabilities[n] / total if n in possible else 0.0 for n in probabilities}
    assert finding.probabilities == pytest.approx(expected)
    assert finding.failure == pytest.approx(1 - expected.get(reading.answer, 0.0))
    best = max(expected, key=expected.__getitem__)
    assert finding.leading == best
    assert [m.reading for m in finding.misunderstandings] == [best] * (best != reading.answer)
    assert all(m.probability == finding.failure for m in finding.misunderstandings)


@given(probability_maps, answer_maps)
def test_what_no_candidate_stands_for_is_never_stated_of_a_ranked_item(probabilities, scores):
    stated = make_finding(make_reading(scores), probabilities, explain).misunderstandings
    if any(scores[name] > -math.inf for name in probabilities):
        assert all(scores[m.reading] > -math.inf for m in stated)


def test_without_ranked_answers_the_most_probable_reading_is_reported():
    reading = make_reading(dict.fromkeys("ab", -np.inf))
    assert reading.answer == ""
    finding = make_finding(reading, {"a": 0.3, "b": 0.7}, explain)
    assert finding.probabilities == {"a": 0.3, "b": 0.7}
    assert [m.reading for m in finding.misunderstandings] == ["b"]


def test_the_answer_is_the_reading_that_the_model_prefers():
    assert make_reading({"a": -2.0, "b": -0.5}).answer == "b"


def test_a_misunderstanding_is_of_the_target_or_else_of_the_text():
    found = make_misunderstanding("probe", make_reading({"a": 0.0}), "a")
    assert found == Misunderstanding("probe", TARGET, CONTENT[slice(*TARGET)], "a", 0.0, [])
    without = make_reading({"a": 0.0}, target=False)
    assert make_misunderstanding("probe", without, "a").text == CONTENT


def test_the_leading_reading_needs_no_finding():
    assert Finding(0.1, [], {"a": 0.9, "b": 0.1}).leading == "a"
