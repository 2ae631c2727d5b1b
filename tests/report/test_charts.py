"""Charts: every mark stands where its figure says, within the drawing."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.report.charts import (
    LEFT,
    MAX_TICKS,
    NAME_LENGTH,
    RIGHT,
    accuracy_chart,
    against_chart,
    axis_ticks,
    detection_chart,
)
from saetask.report.figures import ArmResult, Auroc, PairedComparison, PairedDifference
from tests.helpers.run_folders import compared, summary, with_raw

shares = st.floats(0, 1)


def auroc(value: float, ends: tuple[float, float] | None) -> Auroc:
    return Auroc(auroc=value, ci95=ends, n=3)


@given(st.dictionaries(st.text(), st.tuples(shares, st.none() | st.tuples(shares, shares))))
def test_marks_and_intervals_lie_within_the_axis(figures: dict) -> None:
    chart = detection_chart("any", "Any", {name: auroc(*each) for name, each in figures.items()})
    if chart is None:
        assert not figures
        return
    assert [mark.name for mark in chart.marks] == list(figures)
    drawn = [mark.place for mark in chart.marks]
    places = [place.x for place in drawn] + [tick.x for tick in chart.ticks]
    places += [end for place in drawn for end in (place.low, place.high) if end is not None]
    assert all(LEFT <= place <= RIGHT for place in [*places, chart.reference])
    assert all(mark.place.low is None for mark in chart.marks if figures[mark.name][1] is None)
    assert all(len(mark.label) <= NAME_LENGTH for mark in chart.marks)


def test_places_are_in_proportion_to_the_figures() -> None:
    scores = {"a": auroc(0.5, (0.4, 0.6)), "b": auroc(1.0, None), "c": auroc(0.0, None)}
    chart = detection_chart("any", "Any", scores)
    assert chart
    first, second, third = [mark.place for mark in chart.marks]
    assert (third.x, second.x) == (LEFT, RIGHT)
    assert first.x == chart.reference == pytest.approx((LEFT + RIGHT) / 2)
    assert first.high is not None and first.high - first.x == pytest.approx((RIGHT - LEFT) / 10)
    assert [tick.text for tick in chart.ticks] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]


@given(st.floats(-1000, 1000), st.floats(0, 1000))
def test_ticks_are_few_even_and_span_the_range(low: float, width: float) -> None:
    ticks = axis_ticks(low, low + width)
    assert 2 <= len(ticks) <= MAX_TICKS
    steps = [after - before for before, after in pairwise(ticks)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-3)
    unseen = 1e-6 * max(abs(low), abs(low + width)) + 1e-9
    assert ticks[0] <= low + unseen
    assert ticks[-1] >= low + width - unseen


def test_the_line_is_the_baselines_whatever_its_name() -> None:
    arms = summary()["arms"]
    renamed = {"as-is": ArmResult(**arms["original"]), "features": ArmResult(**arms["saetask"])}
    chart = accuracy_chart(renamed)
    assert chart and chart.reference == chart.marks[0].place.x
    assert chart.reference_text == "the accuracy of as-is"
    assert "features: 74.1 % (95 % CI" in chart.description


def test_what_cannot_be_drawn_is_left_out() -> None:
    arms = summary()["arms"]
    infinite = ArmResult(**arms["saetask"] | {"ci95": [0.1, float("inf")]})
    chart = accuracy_chart({"a": infinite})
    assert chart and chart.marks[0].place.low is None
    assert accuracy_chart({}) is None


def test_raw_figures_stand_above_the_calibrated_ones_of_their_arm() -> None:
    arms = with_raw(summary())["arms"]
    chart = accuracy_chart({name: ArmResult(**figures) for name, figures in arms.items()})
    assert chart and chart.is_paired and chart.reference_text.endswith("original, calibrated")
    top = 0.0
    for mark, figures in zip(chart.marks, arms.values(), strict=True):
        assert mark.raw and top < mark.raw.y < mark.y < mark.place.y < mark.y + chart.row_height / 2
        top = mark.y + chart.row_height / 2
        for place, share in (
            (mark.raw, figures["raw"]["accuracy"]),
            (mark.place, figures["accuracy"]),
        ):
            assert place.figure == f"{100 * share:.1f} %"
    assert mark.description.startswith("raw 70.0 % (95 % CI 64.0 to 76.0), calibrated 74.1 %")
    gap = PairedComparison(**compared(0.1), raw=PairedDifference(**compared(0.3)))
    (mark,) = (against_chart("saetask", {"placebo": gap}) or chart).marks
    assert mark.raw and mark.raw.x > mark.place.x
