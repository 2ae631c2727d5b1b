"""The evidence of a finding on a terminal: marked text, bars for both sides, contexts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from saetask.cli.tables import terminal_width
from saetask.report.evidence import (
    AGAINST,
    FOR,
    PLAIN,
    SIGNS,
    UNCONFIRMED,
    Bar,
    Piece,
    evidence_bars,
    examples_sentence,
    headings,
    margin_sentence,
    marked_text,
    removal_sentence,
    short_name,
    signed,
    telling_contexts,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from saetask.detection.base import Misunderstanding

WIDTH, WIDEST = 100, 140
"""Columns in a file or a pipe, and the maximum on a terminal."""
BAR, NARROW_BAR = 12, 8
"""Columns of the longest bar; the second where a terminal has fewer than `WIDTH`."""
NAME, WORDS, EXAMPLES = 26, 23, 15
"""Columns of a concept's name, its words and its examples at `WIDTH`; what is more is shared two to
one by the first two."""
MARKS = (
    "[ ] a concept below fires on it and speaks for {},  {{ }} against it;  ( ) below: the name "
    "does not describe the word;  ✓ the name was validated on unseen text, ○ it was not (✎ ✕ a "
    "reader gave or refused it)"
)
BRACKETS = {PLAIN: ("", ""), FOR: "[]", AGAINST: "{}", FOR | AGAINST: ("[{", "}]")}
STYLES = {PLAIN: "", FOR: "bold cyan", AGAINST: "bold yellow", FOR | AGAINST: "bold green"}


def evidence_text(prompt: str, found: "Misunderstanding", answer: str) -> str:
    """Returns the concepts behind a finding in lines, styled where stdout is a terminal.

    Without colours tokens are marked by brackets, and the two sides by their place and fill.

    Args:
        prompt: The text in which the finding's spans count.
        found: A finding with concepts.
        answer: What the model's answer is, as the end of a sentence.
    """
    from rich.console import Console, Group
    from rich.padding import Padding

    width = min(WIDEST, terminal_width() or WIDTH)
    console = Console(width=width, highlight=False, markup=False)
    margin = "; ".join(filter(None, (margin_sentence(found), answer)))
    parts: list[RenderableType] = [
        _marked(marked_text(prompt, found)),
        MARKS.format(found.reading),
        *filter(None, [examples_sentence(found)]),
        "",
        _bars_table(found, width),
        "",
        margin,
        *filter(None, [removal_sentence(found)]),
        _contexts_table(found, width),
    ]
    with console.capture() as captured:
        console.print(Padding(Group(*parts), (1, 0, 0, 1), expand=False), width=width)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _marked(pieces: list[Piece]) -> "Text":
    from rich.text import Text

    text = Text()
    for piece in pieces:
        before, after = BRACKETS[piece.side]
        text.append(f"{before}{piece.text}{after}", STYLES[piece.side])
    return text


def _bars_table(found: "Misunderstanding", width: int) -> "Table":
    """Returns the bars, one a row; where the terminal is narrow, names are wrapped and not cut."""
    from rich.table import Table

    narrow, more = width < WIDTH, max(0, width - WIDTH)
    names, longest = headings(found), NARROW_BAR if narrow else BAR
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(
        names.against.removeprefix("for "), width=longest, justify="right", no_wrap=not narrow
    )
    table.add_column("│", width=1, style="dim")
    table.add_column(found.reading, width=longest, no_wrap=not narrow)
    table.add_column("adds", width=5, justify="right")
    table.add_column("concept", no_wrap=not narrow, max_width=NAME + 2 * more // 3)
    table.add_column("examples", justify="right", min_width=0 if narrow else EXAMPLES)
    table.add_column("fires on", no_wrap=not narrow, max_width=WORDS + more // 3)
    for bar in evidence_bars(found):
        drawn = _drawn(bar, longest)
        words = _line(_fitting(bar.words, WORDS + more // 3))
        sides = ("", drawn) if bar.contribution > 0 else (drawn, "")
        table.add_row(
            sides[0], "│", sides[1], signed(bar.contribution), _named(bar), bar.alike, words
        )
    return table


def _fitting(words: Sequence[str], width: int) -> str:
    """Returns as many words as fit, at least one."""
    shown = list(words)
    while len(shown) > 1 and len(", ".join(shown)) > width:
        shown.pop()
    return ", ".join(shown)


def _named(bar: Bar) -> "Text":
    """Returns a concept's name without its telling words, behind a sign for its verdict."""
    sign = SIGNS.get(bar.verdict, UNCONFIRMED) if bar.verdict else ""
    return _line(f"{sign} {short_name(bar.name)}")


def _drawn(bar: Bar, longest: int) -> "Text":
    """Returns a bar; one of a concept against the reading is hatched."""
    from rich.text import Text

    # A short bar is still seen; nothing has none.
    length = max(1, round(bar.share * longest)) if bar.contribution else 0
    if bar.contribution > 0:
        return Text("█" * length, STYLES[FOR])
    return Text("▒" * length, STYLES[AGAINST])


def _contexts_table(found: "Misunderstanding", width: int) -> "Table":
    from rich.table import Table

    contexts = telling_contexts(found)
    titles = [f"{name} fires in" for name, _ in contexts]
    first = min(width // 3, max(map(len, titles), default=0))
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(no_wrap=True, max_width=first, style="dim")
    table.add_column(no_wrap=True)
    for title, (_, texts) in zip(titles, contexts):
        for number, text in enumerate(texts):
            shown = _around_mark(text, width - first - 5)  # margins, and an ellipsis on each side
            table.add_row(_line("" if number else title), _line(shown))
    return table


def _around_mark(text: str, length: int) -> str:
    """Returns the part of a context around its firing token, of a maximum length."""
    first, last = text.find("«"), text.find("»")
    start = max(0, min((first + last - length) // 2, len(text) - length))
    end = start + length
    return "…" * (start > 0) + text[start:end] + "…" * (end < len(text))


def _line(text: str) -> "Text":
    """Returns a text that is data: no markup, and no line breaks."""
    from rich.text import Text

    return Text(" ".join(text.split()))
