"""The power curve of discovery: where each mark stands, for the template that writes it as SVG."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.pages import ROOT, environment
from saetask.report.charts import MARK_PATHS
from saetask.utils.files import write_text

PICTURE = ROOT / "docs" / "discovery_power.svg"
ARMS = {
    "concepts": MARK_PATHS["method"],
    "words": MARK_PATHS["control"],
    "word classes": MARK_PATHS["variant"],
    "random": MARK_PATHS["baseline"],
}
"""Arms that are drawn, and the shapes that tell them apart without colour."""
N_PANELS = 2
"""Panels, of the largest differences."""
WIDTH, HEIGHT, LEFT, GAP, TOP, BOTTOM = 320, 200, 48, 34, 64, 48
"""Pixels: of a panel, left of the first, between two, above and below them."""
INSET = 18
"""Pixels between the edge of a panel and the first and last numbers of prompts."""


class Point(NamedTuple):
    """A measured share, in pixels."""

    x: float
    y: float
    text: str


class Line(NamedTuple):
    """The measured shares of an arm in a panel."""

    arm: str
    path: str
    """Of its marks, around the origin."""
    points: list[Point]

    @property
    def drawn(self) -> str:
        """The points as SVG writes them."""
        return " ".join(f"{point.x},{point.y}" for point in self.points)


class Tick(NamedTuple):
    """A labelled place of an axis, in pixels."""

    at: float
    text: str


class Panel(NamedTuple):
    """The curves of one planted difference."""

    left: float
    title: str
    lines: list[Line]
    ticks: list[Tick]


class Chart(NamedTuple):
    """What the template needs."""

    width: float
    height: float
    panels: list[Panel]
    ticks: list[Tick]
    """Of the vertical axis, which all panels share."""
    description: str
    """The whole chart in words."""


def write_chart(document: Mapping[str, Any]) -> None:
    """Writes the power curve of a planted concept beside the page of the documentation."""
    template = environment().get_template("power_curve.svg.jinja")
    write_text(PICTURE, template.render(chart=power_chart(document), arms=ARMS))


def power_chart(document: Mapping[str, Any]) -> Chart:
    """Returns the chart of the shares of draws in which a planted concept is found.

    Args:
        document: What `python -m benchmarks.discovery_power` measured.
    """
    rows = document["results"]["concept"]
    differences = sorted({row["difference"] for row in rows})[-N_PANELS:]
    panels = [_panel(rows, place, difference) for place, difference in enumerate(differences)]
    described = [
        f"{panel.title}: "
        + "; ".join(f"{line.arm} {', '.join(p.text for p in line.points)}" for line in panel.lines)
        for panel in panels
    ]
    return Chart(
        LEFT + len(panels) * (WIDTH + GAP),
        TOP + HEIGHT + BOTTOM,
        panels,
        [Tick(_height(share), f"{100 * share:.0f} %") for share in (0, 0.25, 0.5, 0.75, 1)],
        ". ".join(described) + ".",
    )


def _panel(rows: Sequence[Mapping[str, Any]], place: int, difference: float) -> Panel:
    left = LEFT + place * (WIDTH + GAP)
    sizes = sorted({row["n"] for row in rows})
    low, high = math.log(sizes[0]), math.log(sizes[-1])

    def x(n: int) -> float:
        share = (math.log(n) - low) / (high - low) if high > low else 0.5
        return round(left + INSET + share * (WIDTH - 2 * INSET), 1)

    lines = []
    for arm, path in ARMS.items():
        found = {
            row["n"]: row["found"]
            for row in rows
            if row["arm"] == arm and row["difference"] == difference
        }
        points = [
            Point(x(n), _height(found[n]), f"{100 * found[n]:.0f} % of {n:,}")
            for n in sorted(found)
        ]
        lines.append(Line(arm, path, points))
    title = f"{100 * difference:.0f} points more failures"
    return Panel(left, title, lines, [Tick(x(n), f"{n:,}") for n in sizes])


def _height(share: float) -> float:
    return round(TOP + HEIGHT * (1 - share), 1)
