"""A discovery folder as one self-contained HTML page: no script, no request."""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from saetask.data.items import read_rows
from saetask.discovery import sentences
from saetask.discovery.documents import (
    DISCOVERIES,
    SUMMARY,
    DiscoveryRow,
    DiscoverySummary,
    ShownPrompt,
)
from saetask.errors import UserError
from saetask.report import numbers
from saetask.report.render import environment, page_source, write_page
from saetask.utils.files import read_json
from saetask.utils.validation import validate

MOST_TOLD = 3
"""Maximum number of discoveries that the page begins with, in words."""


class Piece(NamedTuple):
    """A piece of a prompt's text."""

    text: str
    marked: bool
    """Whether the concept is active on it."""


def write_discovery_page(folder: Path) -> Path:
    """Writes `report.html` into a discovery folder and returns its path.

    Args:
        folder: A folder with `summary.json` and `discoveries.jsonl`.

    Raises:
        UserError: A file is missing or damaged, or the page cannot be written.
    """
    path = folder / SUMMARY
    if not path.is_file():
        raise UserError(
            f"{folder} holds no {SUMMARY}; give a folder that `saetask discover` wrote."
        )
    summary = validate(DiscoverySummary, read_json(path), str(path))
    # The file has no rows where nothing was tested.
    lines = read_rows(folder / DISCOVERIES) if summary.discoveries else ()
    rows = [
        validate(DiscoveryRow, row, f"{folder / DISCOVERIES}:{number}") for number, row in lines
    ]
    return write_page(folder, render(summary, rows, folder.name))


def render(summary: DiscoverySummary, rows: list[DiscoveryRow], name: str) -> str:
    """Returns the page of a discovery as HTML."""
    return (
        environment()
        .get_template("discovery.html.jinja")
        .render(
            summary=summary,
            rows=rows,
            name=name,
            sentences=sentences,
            numbers=numbers,
            most_told=MOST_TOLD,
            pieces=pieces,
            style=page_source("style.css"),
        )
    )


def pieces(prompt: ShownPrompt) -> list[Piece]:
    """Returns a prompt's text in pieces, with or without a mark; neighbours of a kind are one."""
    marked = [False] * len(prompt.text)
    for token in prompt.tokens:
        blanks = len(token.text) - len(token.text.lstrip())
        for place in range(token.start + blanks, min(token.end, len(marked))):
            marked[place] = True
    edges = [i for i in range(len(marked)) if i == 0 or marked[i] != marked[i - 1]]
    return [
        Piece(prompt.text[start:end], marked[start])
        for start, end in pairwise([*edges, len(marked)])
    ]
