"""Dot-and-interval charts, as HTML fragments that Plotly draws."""

import html
from dataclasses import dataclass
from typing import Any

from saetask.report import arms
from saetask.report.fields import Interval
from saetask.report.figures import Arm, Change, Detection
from saetask.report.numbers import (
    decimals,
    decimals_interval,
    percent,
    percent_interval,
    points,
    points_interval,
)

# Colours that colour-blind readers tell apart and that stand out on both white and near-black;
# the shapes say the same once more.
MARKERS: dict[str, dict[str, Any]] = {
    "original": {"color": "#7d838c", "symbol": "square", "size": 11},
    "control": {"color": "#8fb4d3", "symbol": "circle", "size": 11},
    "saetask": {"color": "#1f7fd0", "symbol": "diamond", "size": 15},
    "oracle": {"color": "#7d838c", "symbol": "circle-open", "size": 13, "line": {"width": 2}},
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
    kind: str


def accuracy_chart(measured: list[Arm]) -> str:
    """Returns the chart of accuracies by arm, drawn in the order given, in percent."""
    dots = [
        Dot(
            name=arm.name,
            value=100 * arm.accuracy,
            interval=_in_percent(arm.ci95),
            description=f"{percent(arm.accuracy)} (95 % CI {percent_interval(arm.ci95)})",
            kind=arms.kind(arm.name),
        )
        for arm in measured
    ]
    reference = next((dot.value for dot in dots if dot.kind == "original"), None)
    return _chart("accuracy-chart", dots, "Accuracy (%)", reference)


def against_chart(compared: dict[str, Change]) -> str:
    """Returns the chart of saetask minus each control, drawn in the order given, in points."""
    dots = [
        Dot(
            name=control,
            value=100 * change.difference,
            interval=_in_percent(change.ci95),
            description=f"{points(change.difference)} (95 % CI {points_interval(change.ci95)})",
            kind="control",
        )
        for control, change in compared.items()
        if change.difference is not None
    ]
    return _chart("against-chart", dots, "saetask minus control (points)", 0)


def detection_chart(element: str, measured: list[Detection]) -> str:
    """Returns the chart of AUROCs, drawn in the order given; `element` is its id in the page."""
    dots = [
        Dot(
            name=entry.name,
            value=entry.auroc,
            interval=entry.ci95,
            description=f"{decimals(entry.auroc)} (95 % CI {decimals_interval(entry.ci95)})",
            kind="saetask" if entry.name == "saetask" else "control",
        )
        for entry in measured
    ]
    return _chart(element, dots, "AUROC", 0.5)


def _in_percent(interval: Interval | None) -> Interval | None:
    return (100 * interval[0], 100 * interval[1]) if interval else None


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
