"""What two spans have in common, and what the evidence says of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_matrix

from saetask_plugins.detectors.span_overlap import SpanOverlap, similarities
from tests.helpers.two_spans import two_span_reading

VALUES = st.floats(-5, 5, allow_subnormal=False).map(lambda v: v if abs(v) > 1 else 0.0)
ROWS = arrays(float, (3, 6), elements=VALUES)
ABS = SpanOverlap(np.arange(50), np.arange(50), np.array([[-2.0, -3.0], [2.0, 3.0]]), np.zeros(2))


@given(ROWS, ROWS)
def test_similarities_are_the_plain_formulas(one, two):
    found = similarities(csr_matrix(one), csr_matrix(two))
    for row, a, b in zip(found, one, two, strict=True):
        length = np.linalg.norm(a) * np.linalg.norm(b)
        either = np.maximum(abs(a), abs(b)).sum()
        shared = np.where(a * b > 0, np.minimum(abs(a), abs(b)), 0).sum()
        assert row[0] == pytest.approx(a @ b / length if length else 0.0)
        assert row[1] == pytest.approx(shared / either if either else 0.0)


@given(ROWS, ROWS)
def test_similarities_are_symmetric_bounded_and_one_for_the_same(one, two):
    found = similarities(csr_matrix(one), csr_matrix(two))
    assert found == pytest.approx(similarities(csr_matrix(two), csr_matrix(one)))
    assert (np.abs(found) <= 1 + 1e-9).all()
    fires = np.abs(one).sum(1) > 0
    assert similarities(csr_matrix(one), csr_matrix(one))[fires] == pytest.approx(1.0)


def test_the_class_of_similar_spans_is_explained_by_what_they_share():
    reading = two_span_reading({1: 3.0, 2: 5.0, 3: 2.0}, {1: 3.0, 2: 1.0, 4: 6.0})
    shared = ABS.evidence(reading, 1, 1.0, 5)
    assert [e.id for e in shared] == [1, 2]
    assert shared[0].activation == pytest.approx(3.0)


def test_the_other_class_is_explained_by_what_only_one_of_them_has():
    reading = two_span_reading({1: 3.0, 2: 5.0, 3: 2.0}, {1: 3.0, 2: 1.0, 4: 6.0})
    apart = ABS.evidence(reading, 0, 1.0, 5)
    assert [e.id for e in apart] == [4, 2, 3]
    assert all(e.weight > 0 for e in apart)
    assert apart[0].activation == pytest.approx(6.0)


def test_in_the_control_features_are_compared_with_others():
    same = two_span_reading({1: 3.0, 2: 5.0}, {1: 3.0, 2: 5.0})
    moved = ABS.moved({1: 11, 11: 1, 2: 12, 12: 2})
    assert ABS.log_odds([same])[0, 1] == pytest.approx(5.0)
    assert moved.log_odds([same])[0, 1] == pytest.approx(0.0)
    crossed = two_span_reading({1: 3.0, 2: 5.0}, {11: 3.0, 12: 5.0})
    assert moved.log_odds([crossed])[0, 1] == pytest.approx(5.0)
