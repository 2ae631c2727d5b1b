"""The sign-flip test: equal to counting all flips by hand, and right about chance."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from saetask.utils.sign_flips import flip_test

DIFFERENCES = arrays(
    float, st.tuples(st.integers(1, 7), st.integers(1, 3)), elements=st.integers(-4, 4).map(float)
)


def by_hand(differences):
    """The adjusted p-value of each column, one flip after another."""

    def statistics(signs):
        flipped = differences * np.array(signs)[:, None]
        root = np.sqrt((differences**2).mean(0))
        return np.array([f.mean() / r if r else 0.0 for f, r in zip(flipped.T, root)])

    observed = statistics([1] * len(differences))
    flips = list(itertools.product([1, -1], repeat=len(differences)))
    return [np.mean([statistics(s).max() >= own - 1e-9 for s in flips]) for own in observed]


@given(DIFFERENCES)
def test_few_rows_are_counted_exactly(differences) -> None:
    found = flip_test(differences)
    assert found.exact
    np.testing.assert_allclose(found.p_values, by_hand(differences))
    assert found.p_value == found.p_values.min()


@given(DIFFERENCES, st.sampled_from([1e-200, 1e-3, 7.0, 1e200]), st.randoms())
def test_units_and_the_order_of_rows_do_not_matter(differences, unit, random) -> None:
    order = random.sample(range(len(differences)), len(differences))
    moved = flip_test(differences[order] * unit)
    np.testing.assert_allclose(moved.p_values, flip_test(differences).p_values)


def test_drawn_flips_come_close_to_all_flips() -> None:
    differences = np.random.default_rng(0).normal(0.4, 1, (12, 3))
    exact, drawn = flip_test(differences), flip_test(differences, n_flips=4_000)
    assert exact.exact and not drawn.exact
    np.testing.assert_allclose(drawn.p_values, exact.p_values, atol=0.03)
    assert flip_test(np.ones((40, 1)), n_flips=999).p_value == 1 / 1000, "never 0"


def test_p_values_are_as_small_as_they_should_be_by_chance() -> None:
    generator = np.random.default_rng(1)
    # Four ways, strongly alike, as strategies on one text are.
    null = [
        generator.standard_t(3, (9, 1)) + 0.5 * generator.standard_t(3, (9, 4)) for _ in range(600)
    ]
    p_values = np.array([flip_test(differences).p_value for differences in null])
    for level in (0.05, 0.1, 0.25, 0.5):
        error = np.sqrt(level * (1 - level) / len(null))
        assert abs((p_values <= level).mean() - level) < 3.5 * error, level


def test_a_planted_difference_is_found_in_its_column_only() -> None:
    differences = np.random.default_rng(2).normal(0, 1, (20, 3))
    differences[:, 1] += 3
    found = flip_test(differences)
    assert found.p_value == found.p_values[1] < 0.001
    assert min(found.p_values[[0, 2]]) > 0.05


@pytest.mark.parametrize("bad", [np.zeros((0, 2)), np.zeros((3, 0)), np.array([[np.nan]])])
def test_nothing_to_test_is_refused(bad) -> None:
    with pytest.raises(ValueError, match="finite differences"):
        flip_test(bad)
