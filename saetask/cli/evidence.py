"""The evidence of a finding on a terminal: marked text, bars for both sides, contexts."""

import sys
from typing import TYPE_CHECKING

from saetask.report.evidence import (
    AGAINST,
    FOR,
    PLAIN,
    Bar,
    Piece,
    evidence_bars,
    headings,
    margin_sentence,
    marked_text,
    removal_sentence,
    signed,
    telling_contexts,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from saetask.detection.base import Misunderstanding

WIDTH = 100
"""Maximum number of columns."""
BAR, NARROW_BAR = 16, 12
"""Columns of the longest bar; the second where a terminal has fewer than `WIDTH`."""
CONTEXT = 76
"""Maximum length of a context, in characters."""
STYLES = {PLAIN: "", FOR: "bold cyan", AGAINST: "bold yellow", FOR | AGAINST: "bold green"}


def evidence_text(prompt: str, found: "Misunderstanding", said: str) -> str:
    """Returns the concepts behind a finding in lines, styled where stdout is a terminal.

    Without colours tokens are marked by brackets, and the two sides by their place and fill.

    Args:
        prompt: The text in which the finding's spans count.
        found: A finding with concepts.
        said: The raw answer: what the model says.
    """
    from rich.console import Console, Group
    from rich.padding import Padding

    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False, markup=False)
    width = min(WIDTH, console.width)
    margin = "; ".join(filter(None, (margin_sentence(found), f"the model says “{said}”")))
    parts: list[RenderableType] = [
        _marked(marked_text(prompt, found)),
        "",
        _bars_table(found, width < WIDTH),
        "",
        margin,
        *filter(None, [removal_sentence(found)]),
        _contexts_table(found),
    ]
    with console.capture() as captured:
        console.print(Padding(Group(*parts), (1, 0, 0, 1), expand=False), width=width)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _marked(pieces: list[Piece]) -> "Text":
    from rich.text import Text

    text = Text()
    for piece in pieces:
        text.append(f"[{piece.text}]" if piece.side else piece.text, STYLES[piece.side])
    return text


def _bars_table(found: "Misunderstanding", narrow: bool) -> "Table":
    """Returns the bars, one a row; where the terminal is narrow, names are wrapped and not cut."""
    from rich.table import Table

    names, longest = headings(found), NARROW_BAR if narrow else BAR
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(names.against, width=longest, justify="right", no_wrap=not narrow)
    table.add_column("│", width=1, style="dim")
    table.add_column(names.for_reading, width=longest, no_wrap=not narrow)
    table.add_column("adds", width=5, justify="right")
    table.add_column("concept", no_wrap=not narrow, max_width=28)
    table.add_column("its name is", no_wrap=not narrow, min_width=13)
    table.add_column("fires on", no_wrap=not narrow, max_width=14)
    for bar in evidence_bars(found):
        drawn = _drawn(bar, longest)
        words = _line(", ".join(bar.words))
        sides = ("", drawn) if bar.contribution > 0 else (drawn, "")
        added, name = signed(bar.contribution), _line(bar.name)
        table.add_row(sides[0], "│", sides[1], added, name, _line(bar.verdict), words)
    return table


def _drawn(bar: Bar, longest: int) -> "Text":
    """Returns a bar; one of a concept against the reading is hatched."""
    from rich.text import Text

    # A short bar is still seen; nothing has none.
    length = max(1, round(bar.share * longest)) if bar.contribution else 0
    if bar.contribution > 0:
        return Text("█" * length, STYLES[FOR])
    return Text("▒" * length, STYLES[AGAINST])


def _contexts_table(found: "Misunderstanding") -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(no_wrap=True, max_width=30, style="dim")
    table.add_column(no_wrap=True)
    for name, texts in telling_contexts(found):
        for number, text in enumerate(texts):
            table.add_row(_line("" if number else f"{name} fires in"), _line(_around_mark(text)))
    return table


def _around_mark(text: str) -> str:
    """Returns the part of a context around its firing token that fits into a line."""
    first, last = text.find("«"), text.find("»")
    start = max(0, min((first + last - CONTEXT) // 2, len(text) - CONTEXT))
    end = start + CONTEXT
    return "…" * (start > 0) + text[start:end] + "…" * (end < len(text))


def _line(text: str) -> "Text":
    """Returns a text that is data: no markup, and no line breaks."""
    from rich.text import Text

    return Text(" ".join(text.split()))
