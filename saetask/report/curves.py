"""Line charts of a figure against a number of inputs, for the template that writes them as SVG.

Places along both axes are in percent of the drawing, so that it fits every screen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from saetask.report.charts import Tick, axis_ticks, tick_text
from saetask.report.explanation import TradeOff
from saetask.report.numbers import decimals

LEFT, RIGHT, TOP, BOTTOM = 10.0, 78.0, 6.0, 80.0
"""Edges of the drawn area, in percent; names of the lines stand right of it."""
NAMES = {
    "concepts": "concepts",
    "named-features": "named features",
    "features": "features",
    "neurons": "neurons",
    "random-sae": "random dictionary",
}
NAME_GAP = 7.0
"""Minimum distance between two lines' names, in percent of the height."""


@dataclass(frozen=True)
class CurvePoint:
    """A value of a curve, and where it is drawn, in percent."""

    k: int
    figure: str
    x: float
    y: float


@dataclass(frozen=True)
class Curve:
    """One line of a chart."""

    id: str
    name: str
    points: Sequence[CurvePoint]
    name_y: float
    """Height of the name, in percent: near the last point, apart from other names."""

    @property
    def by_k(self) -> Mapping[int, str]:
        """The figures, by k."""
        return {point.k: point.figure for point in self.points}


@dataclass(frozen=True)
class CurveChart:
    """Curves on common axes."""

    curves: Sequence[Curve]
    ks: Sequence[int]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]

    @property
    def description(self) -> str:
        """The chart in words."""
        return "; ".join(
            f"{curve.name}: " + ", ".join(f"{p.figure} with {p.k}" for p in curve.points)
            for curve in self.curves
        )


def trade_off_chart(measured: Sequence[TradeOff]) -> CurveChart | None:
    """Returns the chart of AUROC against the number of inputs; None if nothing was measured."""
    if not measured:
        return None
    ks = sorted({each.k for each in measured})
    values = [each.auroc for each in measured]
    ticks = axis_ticks(min(values), max(values))
    low, high = min(*values, ticks[0]), max(*values, ticks[-1])

    def x(k: int) -> float:
        return round(LEFT + (RIGHT - LEFT) * ks.index(k) / max(1, len(ks) - 1), 2)

    def y(value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low), 2)

    points = {
        name: [
            CurvePoint(each.k, decimals(each.auroc), x(each.k), y(each.auroc))
            for each in measured
            if each.inputs == name
        ]
        for name in dict.fromkeys(each.inputs for each in measured)
    }
    heights = _apart({name: own[-1].y for name, own in points.items()})
    return CurveChart(
        [Curve(name, NAMES.get(name, name), own, heights[name]) for name, own in points.items()],
        ks,
        [Tick(x(k), str(k)) for k in ks],
        [Tick(y(tick), tick_text(tick, ticks[1] - ticks[0])) for tick in ticks],
    )


def _apart(heights: Mapping[str, float]) -> dict[str, float]:
    """Returns heights of names that are at least `NAME_GAP` apart, from the top down."""
    placed: dict[str, float] = {}
    lowest = -NAME_GAP
    for name, height in sorted(heights.items(), key=lambda pair: pair[1]):
        lowest = placed[name] = round(max(height, lowest + NAME_GAP), 2)
    return placed
