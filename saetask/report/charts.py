"""Dot-and-interval charts: where each mark stands, for the template that writes them as SVG.

A chart takes the width that its place on the page has: places along the axis are in percent of the
drawing, heights in pixels. So its text keeps its size on every screen.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from saetask.report.arms import ArmKind
from saetask.report.documents import Interval
from saetask.report.figures import (
    AccuracyFigures,
    ArmResult,
    Auroc,
    PairedComparison,
    PairedDifference,
)
from saetask.report.numbers import (
    decimals,
    decimals_interval,
    percent,
    percent_interval,
    points,
    points_interval,
)

ROW_HEIGHT, PAIRED_ROW_HEIGHT = 30, 42
"""Pixels of a row with one mark, and of one with a raw mark above the calibrated one."""
RAW_SHIFT, CALIBRATED_SHIFT = -9.0, 8.0
"""Where the two marks of a row stand, in pixels from its middle."""
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
class Value:
    """A value to be drawn, with its interval, in the units of the axis."""

    value: float
    interval: Interval | None
    figure: str
    """The value as text."""
    interval_text: str

    @property
    def description(self) -> str:
        """The value and its interval in words."""
        return f"{self.figure} (95 % CI {self.interval_text})"


@dataclass(frozen=True)
class Dot:
    """A row of a chart: a value, by calibrated answers where there are two kinds."""

    name: str
    value: Value
    kind: ArmKind
    raw: Value | None = None
    """The same by raw answers."""

    @property
    def values(self) -> list[Value]:
        """What is drawn, from the top."""
        return [self.value] if self.raw is None else [self.raw, self.value]


@dataclass(frozen=True)
class Place:
    """Where a value is drawn; `x`, `low` and `high` are in percent of the width, `y` in pixels."""

    figure: str
    x: float
    y: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Mark:
    """One row of a chart."""

    name: str
    label: str
    """The name, cut where it would not fit."""
    description: str
    kind: ArmKind
    path: str
    y: float
    """Middle of the row."""
    place: Place
    raw: Place | None


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
    row_height: float
    height: float
    bottom: float
    """Height of the axis, in pixels from the top."""

    @property
    def is_paired(self) -> bool:
        """Whether rows have a raw mark above the calibrated one."""
        return any(mark.raw for mark in self.marks)

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
        Dot(name, _accuracy(arm), arm.kind, _accuracy(arm.raw) if arm.raw else None)
        for name, arm in arms.items()
    ]
    baseline = next((dot for dot in dots if dot.kind == "baseline"), None)
    line = (baseline.value.value, f"the accuracy of {baseline.name}") if baseline else None
    if line and baseline and baseline.raw:
        line = (line[0], f"{line[1]}, calibrated")
    return _chart("accuracy", "Accuracy by arm", "Accuracy (%)", dots, line)


def _accuracy(figures: AccuracyFigures) -> Value:
    share, ends = figures.accuracy, figures.ci95
    return Value(100 * share, _in_percent(ends), percent(share), percent_interval(ends))


def against_chart(method: str, comparisons: Mapping[str, PairedComparison]) -> Chart | None:
    """Returns the chart of the method minus each control in points, in the order given."""
    dots = [
        Dot(name, _points(each), "control", _points(each.raw) if each.raw else None)
        for name, each in comparisons.items()
    ]
    title, axis = f"{method} minus each control", f"{method} minus control (points)"
    return _chart("against", title, axis, dots, (0.0, "no difference"))


def _points(change: PairedDifference) -> Value:
    share, ends = change.difference, change.ci95
    return Value(100 * share, _in_percent(ends), points(share), points_interval(ends))


def detection_chart(element: str, title: str, scores: Mapping[str, Auroc]) -> Chart | None:
    """Returns the chart of AUROCs, in the order given; `element` begins its ids in the page."""
    dots = [
        Dot(
            name,
            Value(score.auroc, score.ci95, decimals(score.auroc), decimals_interval(score.ci95)),
            "method" if name == "saetask" else "control",
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
    dots = [dot for dot in dots if all(_is_drawable(value.value) for value in dot.values)]
    if not dots:
        return None
    drawn = [value for dot in dots for value in dot.values]
    ends = [end for value in drawn for end in (value.value, *(_drawable(value.interval) or ()))]
    values = [*ends, *([reference[0]] if reference else [])]
    ticks = axis_ticks(min(values), max(values))
    low, high = min(*values, ticks[0]), max(*values, ticks[-1])

    def place(value: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (value - low) / (high - low), 2)

    row_height = PAIRED_ROW_HEIGHT if len(drawn) > len(dots) else ROW_HEIGHT
    bottom = TOP + row_height * len(dots)
    step = ticks[1] - ticks[0]
    return Chart(
        element=f"{element}-chart",
        title=title,
        axis=axis,
        table=f"{element}-table",
        marks=[_mark(dot, TOP + row_height * (i + 0.5), place) for i, dot in enumerate(dots)],
        ticks=[Tick(place(tick), tick_text(tick, step)) for tick in ticks],
        reference=place(reference[0]) if reference else None,
        reference_text=reference[1] if reference else "",
        row_height=row_height,
        height=bottom + BOTTOM,
        bottom=bottom,
    )


def _mark(dot: Dot, y: float, place: Callable[[float], float]) -> Mark:
    def placed(value: Value, shift: float) -> Place:
        interval = _drawable(value.interval)
        return Place(
            figure=value.figure,
            x=place(value.value),
            y=y + shift,
            low=place(interval[0]) if interval else None,
            high=place(interval[1]) if interval else None,
        )

    described = dot.value.description
    if dot.raw:
        described = f"raw {dot.raw.description}, calibrated {described}"
    return Mark(
        name=dot.name,
        label=dot.name if len(dot.name) <= NAME_LENGTH else dot.name[: NAME_LENGTH - 1] + "…",
        description=described,
        kind=dot.kind,
        path=MARK_PATHS[dot.kind],
        y=y,
        place=placed(dot.value, CALIBRATED_SHIFT if dot.raw else 0.0),
        raw=placed(dot.raw, RAW_SHIFT) if dot.raw else None,
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


def tick_text(value: float, step: float) -> str:
    """Returns a place of an axis with as many decimals as its step has."""
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return decimals(value or 0.0, places)  # no minus before a zero
