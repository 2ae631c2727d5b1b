"""Counts, areas and information agree with their definitions, worked out token by token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csc_matrix, csr_matrix
from sklearn.metrics import mutual_info_score, roc_auc_score

from saetask.dictionary.naming.association import associate

bits = arrays(bool, (40, 3), elements=st.booleans())


def associated(fires: np.ndarray, holds: np.ndarray):
    return associate(csr_matrix(fires.astype(np.float32)), csc_matrix(holds))


@given(bits, bits)
def test_figures_are_those_of_scikit_learn(fires: np.ndarray, holds: np.ndarray) -> None:
    found = associated(fires, holds)
    for f in range(3):
        for p in range(3):
            nats = mutual_info_score(fires[:, f], holds[:, p])
            assert abs(found.information[f, p]) == pytest.approx(nats / np.log(2), abs=1e-9)
            if 0 < fires[:, f].sum() < len(fires):
                area = roc_auc_score(fires[:, f], holds[:, p])
                assert found.auroc[f, p] == pytest.approx(area)


def test_avoiding_is_negative_information_and_lift_counts_times_more_often() -> None:
    fires = np.arange(40)[:, None] < 10
    holds = np.stack([fires[:, 0], ~fires[:, 0]], axis=1)
    found = associated(fires, holds)
    assert found.information[0, 0] > 0 > found.information[0, 1]
    assert found.lift[0].tolist() == [4.0, 0.0]
    assert found.recall[0].tolist() == [1.0, 0.0] and found.precision[0, 0] == 1.0
