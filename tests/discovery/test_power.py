import numpy as np
import pytest

from saetask.discovery.power import WITH_SHARES, smallest_differences


def test_more_items_and_fewer_hypotheses_show_smaller_differences():
    small, large, many = (
        smallest_differences(n, n, 0.3, m, 0.05) for n, m in ((300, 90), (3000, 90), (3000, 8000))
    )
    assert [figure.share for figure in small] == list(WITH_SHARES)
    for few_items, few, more in zip(small, large, many):
        assert few.difference < more.difference
        assert few_items.difference is None or few_items.difference > few.difference


def test_a_difference_that_no_rate_allows_is_none():
    assert smallest_differences(30, 30, 0.9, 90, 0.05)[0].difference is None
    assert smallest_differences(30, 30, 1.0, 90, 0.05)[0].difference is None


def test_a_difference_of_that_size_is_confirmed_as_often_as_is_said():
    """The confirmation alone, of a hypothesis in half of the prompts, at its level."""
    from scipy.stats import norm

    n, rate = 400, 0.4
    difference = smallest_differences(10**9, n, rate, 1, 0.05)[0].difference
    assert difference is not None
    generator = np.random.default_rng(0)
    present = np.arange(n) < n // 2
    rates = rate + np.where(present, 0.5, -0.5) * difference
    failures = generator.random((2000, n)) < rates
    observed = failures[:, present].mean(1) - failures[:, ~present].mean(1)
    z = observed / np.sqrt(4 * rate * (1 - rate) / n)
    power = np.mean(norm.sf(z) <= 0.05 / 20)
    assert power == pytest.approx(0.8**0.5, abs=0.04)
