"""Sentences on what notes change: in answers, and inside the model."""

from saetask.report.numbers import (
    decimals,
    p_statement,
    percent,
    points,
    points_interval,
    signed,
)
from saetask.report.summary import Summary
from saetask.report.understanding import (
    RIGHT_NOTE,
    UNANNOTATED,
    WRONG_NOTE,
    Inside,
    LayerFigures,
    Obedience,
    Understanding,
)


def obedience_text(summary: Summary) -> str:
    """Returns how often right and wrong notes are followed; "" where that was not measured."""
    found = summary.understanding
    if found is None or found.obedience is None:
        return ""
    text = f"By raw answers, {_followed(found.obedience)}"
    if found.obedience_calibrated is not None:
        text += f" By calibrated answers, {_followed(found.obedience_calibrated)}"
    return text


def _followed(said: Obedience) -> str:
    return (
        f"notes that state the right reading are followed in {percent(said.right)} and notes that "
        f"state another in {percent(said.wrong)} of {said.n} items: {points(said.difference)} "
        f"points (95 % CI {points_interval(said.ci95)}, {p_statement(said.p)}); without a note, "
        f"{percent(said.before)} of the answers are right."
    )


def kinds_text(summary: Summary) -> str:
    """Returns how many findings are misreports and misreadings; "" where there are none."""
    found = summary.understanding.findings if summary.understanding else None
    if found is None or not found.n:
        return ""
    parts = []
    for name, n, right in (
        ("misreports (the inside supports the finding)", found.misreport, found.misreport_right),
        ("misreadings (it supports the answer)", found.misreading, found.misreading_right),
    ):
        if n:
            parts.append(f"{n} {name}, {percent(right)} of them with the right reading")
    if found.unknown:
        parts.append(f"{found.unknown} that the detector does not tell apart")
    return f"Of {found.n} findings, by the probe's own margin: {'; '.join(parts)}."


def inside_text(summary: Summary) -> str:
    """Returns what probes read inside at the SAE's hook point; "" where that was not measured."""
    found = summary.understanding
    if found is None or not found.inside:
        return ""
    return " ".join(filter(None, [_before(found), *(_shifts(found, i) for i in found.inside)]))


def _before(found: Understanding) -> str:
    """Returns what is inside without a note, where the answer is right and where it is wrong."""
    none = found.inside[0].notes.get(UNANNOTATED)
    parts = []
    for name, figures in (("wrong", none and none.wrong), ("right", none and none.right)):
        if figures:
            accuracy = figures.accuracy[found.own_reader]
            parts.append(f"{percent(accuracy)} of {figures.n} items answered {name}")
    if not parts:
        return ""
    return (
        f"Inside, without a note, a probe at {found.sae_reader} reads the right reading at the "
        f"{found.inside[0].place} of {' and '.join(parts)}: a wrong answer over a right inside is "
        "a misreport, not a misreading."
    )


def _shifts(found: Understanding, inside: Inside) -> str:
    """Returns how far notes move the reading that they state, at one place."""
    parts = []
    for kind, name in ((RIGHT_NOTE, "a right"), (WRONG_NOTE, "a wrong"), ("placebo", "a neutral")):
        figures = inside.notes[kind].every if kind in inside.notes else None
        if figures and figures.shift is not None:
            shift = shift_cell(figures, found.own_reader)
            parts.append(f"{name} note {shift} nats, {_p(figures)}, n {figures.n}")
    if not parts:
        return ""
    place = "at the target" if inside.place == "target" else "where the answer begins"
    share = ""
    if inside.place == "target" and inside.notes_before < 1:
        share = (
            f" ({percent(inside.notes_before)} of the notes stand before it; the others can not "
            "change anything there)"
        )
    return f"Towards what is stated, {place}{share}: {', '.join(parts)}."


def _p(figures: LayerFigures) -> str:
    p = figures.holm_p
    return "not tested" if p is None else f"over layers and notes Holm {p_statement(p)}"


def shift_cell(figures: LayerFigures, reader: int) -> str:
    """Returns a shift and its interval for a table."""
    if figures.shift is None or figures.shift_ci95 is None:
        return decimals(None)
    low, high = figures.shift_ci95[reader]
    return f"{signed(figures.shift[reader], 2)} ({signed(low, 2)} to {signed(high, 2)})"
