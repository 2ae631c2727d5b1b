import numpy as np
import pytest

from saetask.discovery import selection
from saetask.discovery.hypotheses import Family, Hypothesis
from saetask.discovery.score_tests import adjust_failures, screening_statistics
from saetask.discovery.selection import SHARES, choose, n_tried, presence_of, screen

N = 400


def family(scores):
    return Family(scores, lambda column: Hypothesis(str(column), str(column), "feature"))


def log(presence, seed=0, high=0.8, low=0.2):
    generator = np.random.default_rng(seed)
    failures = (generator.random(len(presence)) < np.where(presence, high, low)).astype(float)
    return adjust_failures(failures, generator.normal(size=(len(presence), 1)), np.arange(N))


@pytest.fixture
def scores():
    generator = np.random.default_rng(0)
    return generator.gamma(1, size=(N, 30)).astype(np.float32)


def screened(families, adjusted):
    outcomes = adjusted.residual[:, None]
    return [screen(each, adjusted.basis, outcomes)[0] for each in families]


def test_the_threshold_is_the_best_of_those_tried(scores):
    adjusted = log(scores[:, 3] > np.quantile(scores[:, 3], 0.9))
    (found,) = screened([family(scores)], adjusted)
    for column in range(30):
        ordered = np.sort(scores[:, column])
        tried = [ordered[N - 1 - int(share * N)] for share in SHARES if share < 0.9]
        values = [
            screening_statistics(
                (scores[:, [column]] > each).astype(float),
                adjusted.basis,
                adjusted.residual[:, None],
            )[0, 0]
            for each in tried
        ]
        assert found.statistics[column] == pytest.approx(max(values), abs=1e-3)
        assert found.thresholds[column] == tried[int(np.argmax(values))]
    assert np.argmax(found.statistics) == 3


def test_blocks_of_columns_and_sparse_scores_give_the_same(scores, monkeypatch):
    from scipy.sparse import csc_matrix

    scores[scores < 1] = 0
    adjusted = log(scores[:, 3] > 2)
    (whole,) = screened([family(scores)], adjusted)
    monkeypatch.setattr(selection, "COLUMNS_AT_A_TIME", 7)
    (parts,) = screened([family(csc_matrix(scores))], adjusted)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_what_is_in_too_few_or_too_many_prompts_is_not_tried():
    scores = np.zeros((N, 3), np.float32)
    scores[:3, 0], scores[:, 1], scores[:100, 2] = 1, 1, 1
    (found,) = screened([family(scores)], log(scores[:, 2] > 0))
    assert list(found.p_values[:2]) == [1, 1] and found.p_values[2] < 0.01
    assert n_tried(family(scores)) == 2


def test_a_copy_of_a_chosen_column_is_merged_with_it(scores):
    scores[:, 5] = scores[:, 3] * 2
    planted = scores[:, 3] > np.quantile(scores[:, 3], 0.8)
    families, adjusted = [family(scores)], log(planted)
    choices = choose(families, screened(families, adjusted), adjusted)
    assert {choices[0].column, choices[0].merged[0][1]} == {3, 5}
    assert len([c for c in choices if c.column in (3, 5)]) == 1


def test_two_planted_columns_are_both_chosen_and_the_first_family_first(scores):
    one, other = scores[:, 3] > 1.5, scores[:, 4] > 1.5
    families, adjusted = [family(scores[:, 4:]), family(scores[:, :4])], log(one | other)
    choices = choose(families, screened(families, adjusted), adjusted)
    places = [(c.family, c.column) for c in choices]
    assert places[0] == (0, 0) and sorted(c.family for c in choices) == [f for f, _ in places]
    number = places.index((1, 3))
    presence = presence_of(families, choices)
    np.testing.assert_array_equal(presence[:, number], scores[:, 3] > choices[number].threshold)


def test_no_more_are_chosen_than_can_be_tested(scores, monkeypatch):
    monkeypatch.setattr(selection, "SCREENING_Q", 1.0)
    monkeypatch.setattr(selection, "JOINT_P", 0.999)
    monkeypatch.setattr(selection, "MOST_CHOSEN", 4)
    families, adjusted = [family(scores), family(scores)], log(scores[:, 3] > 1)
    assert len(choose(families, screened(families, adjusted), adjusted)) == 4


def test_nothing_is_chosen_of_no_hypotheses():
    families, adjusted = [family(np.empty((N, 0), np.float32))], log(np.arange(N) < 100)
    assert choose(families, screened(families, adjusted), adjusted) == []
    assert presence_of(families, []).shape == (N, 0)
