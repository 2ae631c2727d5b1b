"""A concept adds what its features add beyond the average prompt, and nothing is lost by that."""

import numpy as np
import pytest

from saetask.detection import DetectorInput
from saetask_plugins.detectors.feature_terms import ProbeColumns, terms_by_concept
from tests.helpers.planted_concepts import make_concept
from tests.helpers.planted_readings import CONTENT, REGIONS, SPANS, activations

VALUES, USUAL = np.log([3.0, 1.0, 5.0]), np.array([0.2, 0.9, 0.4])
WEIGHTS, BIAS = np.array([[0.5, -1.0, 2.0], [-0.5, 1.0, -2.0]]), np.array([0.3, -0.3])


def parts(subject: str):
    found = activations({2: {1: 2.0}, 3: {1: 1.0, 3: 4.0}}, REGIONS)
    prompt = DetectorInput(found, CONTENT, SPANS, {})
    columns = ProbeColumns(np.zeros(3, int), np.array([1, 2, 3]), VALUES, USUAL, WEIGHTS)
    concepts = (make_concept("c", [1, 2])._replace(subject=subject),)
    return terms_by_concept(prompt, columns, BIAS, ["text"], concepts)


def test_a_concept_adds_what_is_beyond_the_average_prompt() -> None:
    found = parts("meaning")
    expected = (WEIGHTS[:, :2] * (VALUES - USUAL)[:2]).sum(1)
    assert found.terms[:, 0] == pytest.approx(expected)
    assert found.fires_less == ([0] if (VALUES - USUAL)[:2].sum() < 0 else [])
    assert found.by_token[0, 0, 2] == pytest.approx(WEIGHTS[0, 0] * VALUES[0])


@pytest.mark.parametrize("subject", ["meaning", "form", "contrast"])
def test_the_parts_add_up(subject) -> None:
    found = parts(subject)
    assert found.terms.sum(1) + found.rest == pytest.approx(found.log_odds)
    assert found.log_odds == pytest.approx((WEIGHTS * VALUES).sum(1) + BIAS)
