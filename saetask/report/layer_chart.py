"""The figure of what probes read by layer: one line a kind of note, one panel a place."""

from typing import NamedTuple

from saetask.report.numbers import percent
from saetask.report.understanding import NOTE_KINDS, Inside, Understanding

WIDTH, HEIGHT, LEFT, BOTTOM = 420.0, 190.0, 38.0, 26.0
"""Of a panel, in pixels, and the room of its labels."""
DRAWN = ("none", "right", "wrong", "placebo")
"""Kinds of notes with a line; the table has all of them."""


class Line(NamedTuple):
    """One kind of note."""

    kind: str
    meaning: str
    points: str
    """Places of an SVG polyline."""
    at_sae: tuple[float, float]
    """Place of the SAE's own reading."""
    description: str


class Panel(NamedTuple):
    """One place of the prompt."""

    title: str
    lines: list[Line]
    ticks: list[tuple[float, str]]
    """Places and texts on the axis of layers."""
    levels: list[tuple[float, str]]
    """Places and texts on the axis of shares."""


def layer_panels(found: Understanding | None) -> list[Panel]:
    """Returns the panels of the figure; none where nothing was read inside."""
    return [_panel(inside) for inside in found.inside] if found else []


def _panel(inside: Inside) -> Panel:
    n_layers = len(inside.readers) - 1
    title = "At the target" if inside.place == "target" else "Where the answer begins"
    lines = []
    for kind in DRAWN:
        noted = inside.notes.get(kind)
        if noted is None or noted.every is None:
            continue
        *by_layer, by_sae = noted.every.accuracy
        places = [(_x(layer, n_layers), _y(share)) for layer, share in enumerate(by_layer)]
        best = max(by_layer)
        lines.append(
            Line(
                kind,
                NOTE_KINDS[kind],
                " ".join(f"{x:.1f},{y:.1f}" for x, y in places),
                (_x(n_layers, n_layers), _y(by_sae)),
                f"{NOTE_KINDS[kind]}: at most {percent(best)}, through the SAE {percent(by_sae)}",
            )
        )
    step = max(1, n_layers // 6)
    ticks = [(_x(layer, n_layers), str(layer)) for layer in range(0, n_layers, step)]
    ticks.append((_x(n_layers, n_layers), "SAE"))
    return Panel(title, lines, ticks, [(_y(share), percent(share)) for share in (0.0, 0.5, 1.0)])


def _x(layer: int, n_layers: int) -> float:
    """Returns the place of a layer; that of the SAE is one layer further and apart."""
    apart = 1.0 if layer == n_layers else 0.0
    return LEFT + (WIDTH - LEFT - 12) * (layer + apart) / max(1, n_layers + 1)


def _y(share: float) -> float:
    return 8 + (HEIGHT - BOTTOM - 8) * (1 - share)
