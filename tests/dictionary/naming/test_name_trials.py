"""What a name's verdict says: how much of a feature's firing it tells, on unseen documents."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from saetask.dictionary.naming.feature_names import FeatureNames
from saetask.dictionary.naming.name_trials import MAX_FIRINGS, try_names

N = 4 * MAX_FIRINGS
FIRING, HARD, RANDOM, _ = np.split(np.arange(N), 4)
INDEX = SimpleNamespace(
    tokens_firing=lambda feature: FIRING,
    draw_silent=lambda feature, n, seed: SimpleNamespace(firing=FIRING, hard=HARD, random=RANDOM),
)


def trial(recall, false_positives, predicate=0):
    """Returns the trial of a name that holds at these shares of firing and of silent tokens."""
    holds = np.zeros((N, 1), bool)
    for tokens, share in ((FIRING, recall), (HARD, false_positives), (RANDOM, false_positives)):
        holds[tokens[: round(share * len(tokens))]] = True
    names = FeatureNames(np.array([predicate]), np.array([0.9]), np.array([0.5]))
    (tried,) = try_names(names, INDEX, csc_matrix(holds), 0)  # pyright: ignore
    return tried


@pytest.mark.parametrize(
    ("recall", "false_positives", "verdict"),
    [
        (0.8, 0.1, "validated"),
        (0.3, 0.1, "weak"),
        (0.2, 0.02, "weak"),
        (0.3, 0.2, "not confirmed"),
        (0.1, 0.1, "not confirmed"),
        (0.02, 0.01, "not confirmed"),
    ],
)
def test_a_name_is_weak_where_it_tells_something_and_leaves_much_untold(
    recall, false_positives, verdict
):
    tried = trial(recall, false_positives)
    assert tried.verdict == verdict
    assert tried.auroc == pytest.approx((recall + 1 - false_positives) / 2)
    assert tried.recall == pytest.approx(recall)


def test_a_feature_without_a_name_has_no_known_concept():
    assert trial(0.8, 0.1, predicate=-1).verdict == "no known concept"
