"""Dot-and-interval charts: where each mark stands, for the template that writes them as SVG.

A chart takes the width that its place on the page has: places along the axis are in percent of the
drawing, heights in pixels. So its text keeps its size on every screen.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from saetask.report.arms import ArmKind
from saetask.report.documents import Interval
from saetask.report.figures import ArmResult, Auroc, PairedComparison
from saetask.report.numbers import (
    decimals,
    decimals_interval,
    percent,
    percent_interval,
    points,
    points_interval,
)

ROW_HEIGHT = 30
TOP, BOTTOM = 6, 46
"""Pixels above the first row, and below the last one for the axis."""
LEFT, RIGHT = 37.0, 82.0
"""Where the axis begins and ends, in percent of the drawing: names left of it, figures right."""
NAME_LENGTH = 22
"""Characters of a name that have room on a phone; the table beside a chart holds it whole."""
MAX_TICKS = 6
LARGEST = 1e6
"""Figures are shares and points: what is larger comes from a damaged summary and is not drawn."""
MARK_PATHS: dict[ArmKind, str] = {
    "baseline": "M-5.5-5.5h11v11h-11z",
    "control": "M-5.5 0a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0-11 0z",
    "variant": "M-6 5 0-6 6 5z",
    "method": "M0-8 8 0 0 8-8 0z",
    "bound": "M-5.5 0a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0-11 0z",
}
"""Shape of each kind's mark around the origin; shapes tell kinds apart without colour."""


@dataclass(frozen=True)
class Dot:
    """A value to be drawn, with its interval, in the units of the axis."""

    name: str
    value: float
    interval: Interval | None
    figure: str
    """The value as text."""
    interval_text: str
    kind: ArmKind


@dataclass(frozen=True)
class Mark:
    """One row of a chart; `x`, `low` and `high` are in percent of the width, `y` in pixels."""

    name: str
    label: str
    """The name, cut where it would not fit."""
    figure: str
    description: str
    kind: ArmKind
    path: str
    x: float
    y: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Tick:
    """One labelled place of the axis, in percent of the width."""

    x: float
    text: str


@dataclass(frozen=True)
class Chart:
    """What the template of charts needs."""

    element: str
    """Id of the drawing in the page."""
    title: str
    axis: str
    table: str
    """Id of the table that holds the same figures."""
    marks: list[Mark]
    ticks: list[Tick]
    reference: float | None
    """Place of the dotted line, in percent of the width."""
    reference_text: str
    height: float
    bottom: float
    """Height of the axis, in pixels from the top."""

    @property
    def center(self) -> float:
        """Middle of the axis, in percent of the width."""
        return (LEFT + RIGHT) / 2

    @property
    def description(self) -> str:
        """The whole chart in words."""
        rows = "; ".join(f"{mark.name}: {mark.description}" for mark in self.marks)
        line = f" The dotted line is {self.reference_text}." if self.reference is not None else ""
        return f"{self.axis}, with 95 % intervals. {rows}.{line}"


def accuracy_chart(arms: Mapping[str, ArmResult]) -> Chart | None:
    """Returns the chart of accuracies by arm in percent, in the order given."""
    dots = [
        Dot(
            name=name,
            value=100 * arm.accuracy,
            interval=_in_percent(arm.ci95),
            figure=percent(arm.accuracy),
            interval_text=percent_interval(arm.ci95),
            kind=arm.kind,
        )
        for name, arm in arms.items()
    ]
    baseline = next((dot for dot in dots if dot.kind == "baseline"), None)
    reference = (baseline.value, f"the accuracy of {baseline.name}") if baseline else None
    return _chart("accuracy", "Accuracy by arm", "Accuracy (%)", dots, reference)


def against_chart(method: str, comparisons: Mapping[str, PairedComparison]) -> Chart | None:
    """Returns the chart of the method minus each control in points, in the order given."""
    dots = [
        Dot(
            name=control,
            value=100 * comparison.difference,
            interval=_in_percent(comparison.ci95),
            figure=points(comparison.difference),
            interval_text=points_interval(comparison.ci95),
            kind="control",
        )
        for control, comparison in comparisons.items()
    ]
    title, axis = f"{method} minus each control", f"{method} minus control (points)"
    return _chart("against", title, axis, dots, (0.0, "no difference"))


def detection_chart(element: str, title: str, scores: Mapping[str, Auroc]) -> Chart | None:
    """Returns the chart of AUROCs, in the order given; `element` begins its ids in the page."""
    dots = [
        Dot(
            name=name,
            value=score.auroc,
            interval=score.ci95,
            figure=decimals(score.auroc),
            interval_text=decimals_interval(score.ci95),
            kind="method" if name == "saetask" else "control",
        )
        for name, score in scores.items()
    ]
    return _chart(element, title, "AUROC", dots, (0.5, "chance"))


def _in_percent(interval: Interval) -> Interval:
    return (100 * interval[0], 100 * interval[1])


def _chart(
    element: str, title: str, axis: str, dots: list[Dot], reference: tuple[float, str] | None
) -> Chart | None:
    """Returns a chart of the dots that can be drawn; None if there is none."""
    dots = [dot for dot in dots if _is_drawable(dot.value)]
    if not dots:
        return None
    ends = [end for dot in dots for end in (dot.value, *(_drawable(dot.interval) or ()))]
    values = [*ends, *([reference[0]] if reference else [])]
    ticks = axis_ticks(min(values), max(values))
    low, high = min(*values, ticks[0]), max(*values, ticks[-1])

    def place(value: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (value - low) / (high - low), 2)

    bottom = TOP + ROW_HEIGHT * len(dots)
    step = ticks[1] - ticks[0]
    return Chart(
        element=f"{element}-chart",
        title=title,
        axis=axis,
        table=f"{element}-table",
        marks=[_mark(dot, TOP + ROW_HEIGHT * (i + 0.5), place) for i, dot in enumerate(dots)],
        ticks=[Tick(place(tick), _tick_text(tick, step)) for tick in ticks],
        reference=place(reference[0]) if reference else None,
        reference_text=reference[1] if reference else "",
        height=bottom + BOTTOM,
        bottom=bottom,
    )


def _mark(dot: Dot, y: float, place: Callable[[float], float]) -> Mark:
    interval = _drawable(dot.interval)
    cut = dot.name if len(dot.name) <= NAME_LENGTH else dot.name[: NAME_LENGTH - 1] + "…"
    return Mark(
        name=dot.name,
        label=cut,
        figure=dot.figure,
        description=f"{dot.figure} (95 % CI {dot.interval_text})",
        kind=dot.kind,
        path=MARK_PATHS[dot.kind],
        x=place(dot.value),
        y=y,
        low=place(interval[0]) if interval else None,
        high=place(interval[1]) if interval else None,
    )


def _is_drawable(value: float) -> bool:
    return abs(value) < LARGEST  # false of NaN, too


def _drawable(interval: Interval | None) -> Interval | None:
    return interval if interval and all(map(_is_drawable, interval)) else None


def axis_ticks(low: float, high: float) -> list[float]:
    """Returns two to six round numbers, in equal steps, that span the range from low to high."""
    span = max(high - low, 1e-6 * max(abs(low), 1.0))
    magnitude = 10.0 ** math.floor(math.log10(span / MAX_TICKS))
    steps = (magnitude * factor for factor in (1, 2, 5, 10, 20, 50, 100))
    for step in steps:
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        last = max(last, first + 1)
        if last - first < MAX_TICKS:
            return [number * step for number in range(first, last + 1)]
    raise AssertionError("a step of a hundredfold spans the range")


def _tick_text(value: float, step: float) -> str:
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return decimals(value or 0.0, places)  # no minus before a zero
