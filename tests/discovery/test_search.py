import numpy as np
import pytest

from saetask.discovery.controls import permuted_logs
from saetask.discovery.hypotheses import Family, Hypothesis
from saetask.discovery.search import Log, chosen_hypotheses, search
from saetask.discovery.searches import permuted_found
from saetask.discovery.splitting import split

N = 600


def family(scores):
    return Family(scores, lambda column: Hypothesis(str(column), str(column), "feature"))


def make_log(failures, seed=0):
    halves = split(failures, [str(i) for i in range(len(failures))], 0.5, seed)
    confounders = np.random.default_rng(seed).normal(size=(len(failures), 2))
    return Log(failures, confounders, np.arange(len(failures)), halves)


def drawn(seed, high=0.3, low=0.3):
    """Returns sixty columns of scores, and failures that the first one raises."""
    generator = np.random.default_rng(seed)
    scores = generator.gamma(1, size=(N, 60)).astype(np.float32)
    rates = np.where(scores[:, 0] > 1.5, high, low)
    return family(scores), make_log((generator.random(N) < rates).astype(float), seed)


def test_a_planted_column_is_confirmed_and_little_else():
    family_, log = drawn(0, high=0.7, low=0.2)
    (found,) = search([family_], [log], seed=0, n_permutations=199)
    confirmed = [found.choices[i].column for i in np.flatnonzero(found.confirmed(0.05))]
    assert confirmed[0] == 0 and len(confirmed) <= 2
    assert chosen_hypotheses([family_], found.choices)[0].id == "0"


def test_the_false_discovery_rate_is_at_most_what_was_asked_for():
    """Without any planted failure, every confirmed hypothesis is false."""
    any_confirmed = []
    for seed in range(12):
        family_, log = drawn(seed)
        logs = [log, *permuted_logs(log, 10, seed)]
        found = search([family_], logs, seed, n_permutations=99)
        any_confirmed += [each.confirmed(0.05).any() for each in found]
    n = len(any_confirmed)
    assert np.mean(any_confirmed) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)


def test_several_logs_at_once_give_what_each_gives_alone():
    family_, log = drawn(1, high=0.7, low=0.2)
    other = log._replace(failures=log.failures[::-1].copy())
    together = search([family_], [other, log], seed=0, n_permutations=99)
    (alone,) = search([family_], [log], seed=0, n_permutations=99)
    assert [c.column for c in together[1].choices] == [c.column for c in alone.choices]


def test_the_confirmation_half_takes_no_part_in_the_choice():
    family_, log = drawn(2, high=0.7, low=0.2)
    changed = log.failures.copy()
    changed[log.halves.confirmation] = np.random.default_rng(9).permutation(
        changed[log.halves.confirmation]
    )
    (one,) = search([family_], [log], 0, 99)
    (other,) = search([family_], [log._replace(failures=changed)], 0, 99)
    assert one.choices == other.choices
    assert one.tests.p_values[0] < 0.02 < other.tests.p_values[0]


def test_a_failure_that_a_confounder_explains_is_no_discovery():
    family_, log = drawn(3)
    scores = np.asarray(family_.scores)
    length = scores[:, 0]
    failures = (np.random.default_rng(0).random(N) < np.where(length > 1, 0.8, 0.1)).astype(float)
    explained = make_log(failures)._replace(confounders=np.column_stack([length > 1, length]))
    for log, expected in ((explained, False), (make_log(failures), True)):
        (found,) = search([family(scores)], [log], 0, 99)
        assert found.confirmed(0.05).any() == expected


@pytest.mark.parametrize("n", [0, 3])
def test_permuted_failures_are_the_same_failures_elsewhere(n):
    _, log = drawn(0)
    logs = permuted_logs(log, n, seed=0)
    assert len(logs) == n
    for each in logs:
        assert sorted(each.failures) == sorted(log.failures)
        assert (each.failures != log.failures).any()
    assert permuted_found([], 0.05).mean_confirmed == 0
