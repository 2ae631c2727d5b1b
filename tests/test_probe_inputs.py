"""What probes take of a prompt."""

import numpy as np
import pytest
from planted_readings import REGIONS, activations

from saetask import Reading
from saetask.probe_inputs import log_activations, region_sets


def test_activations_are_logarithms_that_keep_their_sign():
    found = activations({2: {3: 1.5, 9: -2.0}, 4: {5: 7.0}}, REGIONS)
    rows = log_activations([Reading(found, "", {}, {})] * 2, "target").toarray()
    assert rows[0][[3, 9]] == pytest.approx([np.log(2.5), -np.log(3.0)])
    assert np.count_nonzero(rows[0]) == 2, "another region's feature is read"
    assert (rows[0] == rows[1]).all()


@pytest.mark.parametrize(
    ("known", "sets"),
    [
        (["text"], ["text"]),
        (["text", "target"], ["text", "text target"]),
        (["text", "story", "answer"], ["text", "text answer"]),
        (["answer", "question", "end", "text"], ["text", "text answer", "text question end"]),
    ],
)
def test_regions_are_taken_together_only_where_a_prompt_has_all_of_them(known, sets):
    assert [" ".join(regions) for regions in region_sets(known)] == sets
