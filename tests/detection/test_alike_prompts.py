"""The share of examples is counted on prompts in which the concept fires as here, and no others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from saetask.detection import ConceptActivity, concept_activity, entries, table_of
from saetask.detection.alike_prompts import FEWEST

numbers = st.integers(0, 2**32 - 1)


def random_activity(seed: int, n: int = 60) -> ConceptActivity:
    generator = np.random.default_rng(seed)
    values = generator.gamma(1.0, size=(n, 2)) * (generator.random((n, 2)) < 0.6)
    return ConceptActivity(values.astype(np.float32), generator.integers(0, 3, n), ["a", "b"])


@given(numbers, st.integers(0, 59), st.integers(0, 1), st.booleans())
def test_it_is_the_share_of_those_at_least_as_extreme(seed, place, concept, fires_less):
    activity = random_activity(seed)
    value = float(activity.values[place, concept])
    found = activity.alike("ab"[concept], value, fires_less, 1)
    assert found is not None
    own = activity.values[:, concept]
    reached = own <= value + 1e-4 if fires_less else own >= value - 1e-4
    assert found.of_all == pytest.approx((activity.classes == 1).mean())
    assert (found.activity, found.usual) == (value, pytest.approx(own.mean(), rel=1e-5))
    if reached.sum() >= FEWEST:
        assert found.n == reached.sum()
        assert found.share == pytest.approx((activity.classes[reached] == 1).mean())
    else:  # the nearest ones, which hold all that reach it
        assert found.n == FEWEST
        n_right = (activity.classes[reached] == 1).sum()
        assert n_right <= round(found.share * FEWEST) <= n_right + FEWEST - reached.sum()


def test_of_few_examples_all_are_taken_and_of_an_unknown_concept_none():
    activity = random_activity(0, n=5)
    found = activity.alike("a", 0.0, False, 0)
    assert found is not None and found.n == 5 and found.share == found.of_all
    assert activity.alike("c", 0.0, False, 0) is None


def test_a_concept_is_as_active_as_its_own_columns_together():
    design = csr_matrix([[1.0, 2.0, 4.0, 8.0], [0.0, 1.0, 0.0, 0.0]])
    found = concept_activity(design, np.array([1, -1, 1, 0]), ["a", "b"], np.array([0, 1]))
    assert found.values.tolist() == [[8.0, 5.0], [0.0, 0.0]]


def test_it_is_the_same_from_a_detectors_state_and_may_be_absent():
    activity = random_activity(1)
    kept = table_of(ConceptActivity, "activity", entries(activity=activity))
    assert kept is not None and kept.alike("a", 1.0, True, 2) == activity.alike("a", 1.0, True, 2)
    assert table_of(ConceptActivity, "activity", entries(activity=None)) is None
