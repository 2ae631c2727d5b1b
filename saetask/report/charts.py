"""Dot-and-interval charts, as HTML fragments that Plotly draws."""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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

# Colours that colour-blind people can distinguish and that stand out on both white and near-black;
# the shapes say the same once more.
CONTROL = {"color": "#8fb4d3", "symbol": "circle", "size": 11}
MARKERS: dict[ArmKind, dict[str, Any]] = {
    "baseline": {"color": "#7d838c", "symbol": "square", "size": 11},
    "control": CONTROL,
    "variant": CONTROL,
    "method": {"color": "#1f7fd0", "symbol": "diamond", "size": 15},
    "bound": {"color": "#7d838c", "symbol": "circle-open", "size": 13, "line": {"width": 2}},
}
ROW_HEIGHT = 34
MARGINS = {"l": 10, "r": 24, "t": 8, "b": 48}


@dataclass(frozen=True)
class Dot:
    """One row of a chart."""

    name: str
    value: float
    interval: Interval | None
    description: str
    """Text that is shown when the pointer rests on the dot."""
    kind: ArmKind


def accuracy_chart(arms: Mapping[str, ArmResult]) -> str:
    """Returns the chart of accuracies by arm, drawn in the order given, in percent."""
    dots = [
        Dot(
            name=name,
            value=100 * arm.accuracy,
            interval=_in_percent(arm.ci95),
            description=f"{percent(arm.accuracy)} (95 % CI {percent_interval(arm.ci95)})",
            kind=arm.kind,
        )
        for name, arm in arms.items()
    ]
    reference = next((dot.value for dot in dots if dot.kind == "baseline"), None)
    return _chart("accuracy-chart", dots, "Accuracy (%)", reference)


def against_chart(comparisons: Mapping[str, PairedComparison]) -> str:
    """Returns the chart of saetask minus each control, drawn in the order given, in points."""
    dots = [
        Dot(
            name=control,
            value=100 * comparison.difference,
            interval=_in_percent(comparison.ci95),
            description=(
                f"{points(comparison.difference)} (95 % CI {points_interval(comparison.ci95)})"
            ),
            kind="control",
        )
        for control, comparison in comparisons.items()
    ]
    return _chart("against-chart", dots, "saetask minus control (points)", 0)


def detection_chart(element: str, scores: Mapping[str, Auroc]) -> str:
    """Returns the chart of AUROCs, drawn in the order given; `element` is its id in the page."""
    dots = [
        Dot(
            name=name,
            value=score.auroc,
            interval=score.ci95,
            description=f"{decimals(score.auroc)} (95 % CI {decimals_interval(score.ci95)})",
            kind="method" if name == "saetask" else "control",
        )
        for name, score in scores.items()
    ]
    return _chart(element, dots, "AUROC", 0.5)


def _in_percent(interval: Interval) -> Interval:
    return (100 * interval[0], 100 * interval[1])


def _chart(element: str, dots: list[Dot], title: str, reference: float | None) -> str:
    import plotly.graph_objects as go

    figure = go.Figure([_trace(place, dot) for place, dot in enumerate(dots)])
    figure.update_layout(
        template="none",
        height=ROW_HEIGHT * len(dots) + MARGINS["t"] + MARGINS["b"],
        margin=MARGINS,
        showlegend=False,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        hoverlabel={"bgcolor": "#20252c", "font": {"color": "#ffffff"}},
        dragmode=False,
    )
    figure.update_xaxes(title=title, zeroline=False, fixedrange=True, nticks=8)
    figure.update_yaxes(
        tickvals=list(range(len(dots))),
        ticktext=[_plain(dot.name) + "  " for dot in dots],
        range=[len(dots) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
        fixedrange=True,
        automargin=True,
    )
    if reference is not None:
        figure.add_vline(reference, line={"dash": "dot", "width": 1.5, "color": "#7d838c"})
    config = {"displayModeBar": False, "responsive": True, "scrollZoom": False}
    return figure.to_html(
        config=config, include_plotlyjs=False, full_html=False, div_id=element, default_width="100%"
    )


def _trace(place: int, dot: Dot) -> dict[str, Any]:
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [dot.value],
        "y": [place],
        "marker": MARKERS[dot.kind],
        "hovertemplate": _plain(f"{dot.name}: {dot.description}") + "<extra></extra>",
    }
    if dot.interval:
        low, high = dot.interval
        color = MARKERS[dot.kind]["color"]
        ends = {"array": [high - dot.value], "arrayminus": [dot.value - low]}
        trace["error_x"] = {**ends, "color": color, "thickness": 2.5, "width": 0}
    return trace


def _plain(text: str) -> str:
    """Escapes the subset of HTML, links included, that Plotly reads in texts."""
    return html.escape(text, quote=False)
