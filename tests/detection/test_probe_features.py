"""What probes take of a prompt."""

import numpy as np
import pytest

from saetask.detection import DetectorInput
from saetask.detection.probe_features import (
    DEFAULT_PROBE,
    log_activations,
    raw_activations,
    token_shares,
    usable_region_sets,
)
from tests.helpers.planted_readings import REGIONS, activations
from tests.helpers.two_spans import two_span_reading


def test_activations_are_logarithms_that_keep_their_sign():
    found = activations({2: {3: 1.5, 9: -2.0}, 4: {5: 7.0}}, REGIONS)
    rows = log_activations([DetectorInput(found, "", {}, {})] * 2, "target").toarray()
    assert rows[0][[3, 9]] == pytest.approx([np.log(2.5), -np.log(3.0)])
    assert np.count_nonzero(rows[0]) == 2, "another region's feature is read"
    assert (rows[0] == rows[1]).all()


@pytest.mark.parametrize(
    ("known", "sets"),
    [
        (["text"], ["text"]),
        (["text", "target"], ["text", "text target"]),
        (["text", "story", "answer"], ["text", "text answer"]),
        (["text", "target", "other"], ["text", "text target", "shared apart"]),
        (["answer", "question", "end", "text"], ["text", "text answer", "text question end"]),
    ],
)
def test_regions_are_taken_together_only_where_a_prompt_has_all_of_them(known, sets):
    assert [
        " ".join(regions) for regions in usable_region_sets(DEFAULT_PROBE.region_sets, known)
    ] == sets


def test_an_activation_is_owed_to_the_token_on_which_it_is_strongest():
    found = activations({2: {3: 1.5, 9: -2.0}, 3: {3: 4.0, 9: 1.0}}, REGIONS)
    shares = token_shares(DetectorInput(found, "", {}, {}), "text").toarray()
    assert (shares[3, 3], shares[2, 9]) == (1.0, 1.0)
    assert shares.sum() == 2.0


@pytest.mark.parametrize("region", ["shared", "apart"])
def test_what_two_places_share_is_owed_to_both(region):
    shares = token_shares(two_span_reading({1: 3.0, 2: 5.0}, {1: 3.0, 4: 6.0}), region).toarray()
    assert sorted(shares[:, 1][shares[:, 1] > 0]) == [0.5, 0.5]
    assert shares[:, 2].max() == shares[:, 4].max() == 1.0


def test_two_places_are_compared_feature_by_feature():
    reading = two_span_reading({1: 3.0, 2: 5.0, 3: -2.0, 6: -4.0}, {1: 3.0, 2: 1.0, 4: 6.0, 6: 1.0})
    shared, apart = (log_activations([reading], name).toarray()[0] for name in ("shared", "apart"))
    assert dict(enumerate(shared[:7])) == pytest.approx(
        {0: 0, 1: np.log(4), 2: np.log(2), 3: 0, 4: 0, 5: 0, 6: 0}
    )
    assert dict(enumerate(apart[:7])) == pytest.approx(
        {0: 0, 1: 0, 2: np.log(3), 3: np.log(3), 4: np.log(7), 5: 0, 6: np.log(10)}
    )


def test_raw_activations_of_two_places_are_compared_neuron_by_neuron():
    places = {"target": np.array([1.0, -2.0, 3.0]), "other": np.array([1.0, 2.0, 0.0])}
    reading = DetectorInput(activations({}, REGIONS), "", {}, {}, places)
    assert raw_activations([reading], "shared").tolist() == [[1.0, -4.0, 0.0]]
    assert raw_activations([reading], "apart").tolist() == [[0.0, 4.0, 3.0]]
    assert raw_activations([reading] * 2, "target").tolist() == [[1.0, -2.0, 3.0]] * 2
