"""Line charts: every point stands where its figure says, and names do not cover each other."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.report.curves import BOTTOM, LEFT, NAME_GAP, RIGHT, TOP, trade_off_chart
from saetask.report.explanation import TradeOff

KINDS = ["concepts", "features", "neurons", "random-sae"]


def measured(values: dict[str, dict[int, float]]) -> list[TradeOff]:
    return [
        TradeOff(inputs=inputs, k=k, auroc=value, ci95=None)
        for inputs, by_k in values.items()
        for k, value in by_k.items()
    ]


by_k = st.dictionaries(st.sampled_from([1, 2, 4, 8]), st.floats(0, 1), min_size=1)


@given(st.dictionaries(st.sampled_from(KINDS), by_k, min_size=1))
def test_points_lie_within_the_drawing_and_names_apart(values: dict) -> None:
    chart = trade_off_chart(measured(values))
    assert chart
    assert {curve.id: [p.k for p in curve.points] for curve in chart.curves} == {
        inputs: list(own) for inputs, own in values.items()
    }
    for point in (point for curve in chart.curves for point in curve.points):
        assert LEFT <= point.x <= RIGHT
        assert TOP <= point.y <= BOTTOM
    heights = sorted(curve.name_y for curve in chart.curves)
    assert all(b - a >= NAME_GAP - 0.02 for a, b in pairwise(heights))


def test_more_inputs_stand_right_and_larger_areas_above() -> None:
    chart = trade_off_chart(measured({"concepts": {1: 0.5, 4: 0.75, 16: 1.0}}))
    assert chart
    (curve,) = chart.curves
    assert [point.x for point in curve.points] == [LEFT, (LEFT + RIGHT) / 2, RIGHT]
    assert [point.y for point in curve.points] == pytest.approx([BOTTOM, (TOP + BOTTOM) / 2, TOP])
    assert curve.by_k == {1: "0.500", 4: "0.750", 16: "1.000"}
    assert "0.750 with 4" in chart.description


def test_nothing_is_drawn_where_nothing_was_measured() -> None:
    assert trade_off_chart([]) is None
