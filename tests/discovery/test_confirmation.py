import numpy as np
import pytest

from saetask.discovery.confirmation import differences, tested
from saetask.discovery.score_tests import adjust_failures

N = 300


def drawn(seed, effect=0.4, n_groups=N):
    generator = np.random.default_rng(seed)
    groups = np.arange(N) % n_groups
    presence = (generator.random(n_groups) < 0.3)[groups]
    failures = (generator.random(N) < 0.2 + effect * presence).astype(float)
    return presence, failures, adjust_failures(failures, np.empty((N, 0)), groups)


def test_the_difference_is_that_of_the_rates_and_the_adjusted_one_is_the_coefficient():
    presence, failures, adjusted = drawn(0)
    (found,) = differences(presence[:, None], failures, adjusted, seed=0)
    assert found.n_with == presence.sum()
    assert found.failure_with == pytest.approx(failures[presence].mean())
    assert found.difference == pytest.approx(found.failure_with - found.failure_without)
    assert found.adjusted_difference == pytest.approx(found.difference)  # no confounders


def test_a_confounder_changes_the_adjusted_difference_alone():
    presence, failures, _ = drawn(0)
    confounder = presence + np.random.default_rng(1).normal(size=N)
    adjusted = adjust_failures(failures, confounder[:, None], np.arange(N))
    (found,) = differences(presence[:, None], failures, adjusted, seed=0)
    design = np.column_stack([np.ones(N), confounder, presence])
    coefficient = np.linalg.lstsq(design, failures, rcond=None)[0][-1]
    assert found.adjusted_difference == pytest.approx(coefficient)


def test_intervals_hold_the_planted_difference_about_as_often_as_they_say():
    """Of groups of three prompts that share their presence."""
    held = []
    for seed in range(60):
        presence, failures, adjusted = drawn(seed, n_groups=100)
        (found,) = differences(presence[:, None], failures, adjusted, seed, n_resamples=200)
        held.append([low <= 0.4 <= high for low, high in (found.ci95, found.adjusted_ci95)])
    assert 0.85 <= np.mean(held) <= 1


def test_what_is_nowhere_or_everywhere_has_no_difference():
    _, failures, adjusted = drawn(0)
    presence = np.column_stack([np.zeros(N, bool), np.ones(N, bool)])
    nowhere, everywhere = differences(presence, failures, adjusted, seed=0)
    assert nowhere.failure_with is None and everywhere.failure_without is None
    assert nowhere.failure_without == everywhere.failure_with == pytest.approx(failures.mean())
    assert nowhere.difference is everywhere.ci95 is nowhere.adjusted_difference is None
    tests = tested(presence, adjusted, np.random.default_rng(0), 99)
    assert tests.p_values.tolist() == [1, 1]


def test_of_no_hypotheses_there_are_no_tests():
    _, failures, adjusted = drawn(0)
    nothing = np.empty((N, 0), dtype=bool)
    assert differences(nothing, failures, adjusted, 0) == []
    assert tested(nothing, adjusted, np.random.default_rng(0)).q_values.shape == (0,)
