"""A discovery folder as one self-contained HTML page: no request, no script but its own views.

Figures are HTML; the prompts of a discovery are shown by the view that the explorer has as well.
"""

from pathlib import Path
from typing import Any

from saetask.data.items import read_rows
from saetask.discovery import sentences
from saetask.discovery.documents import (
    SUMMARY,
    DiscoveryRow,
    DiscoverySummary,
)
from saetask.errors import UserError
from saetask.report import numbers
from saetask.report.render import (
    environment,
    page_source,
    view_script,
    view_style,
    write_page,
)
from saetask.report.run_folder import DISCOVERIES
from saetask.utils.files import json_text, read_json
from saetask.utils.validation import validate

MOST_TOLD = 3
"""Maximum number of discoveries that the page begins with, in words."""


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
            rows_json=script_json(rows),
            style=page_source("style.css") + view_style(),
            script=view_script("discovery.js") + page_source("discovery.js"),
        )
    )


def script_json(rows: list[DiscoveryRow]) -> Any:
    """Returns rows as JSON that can stand in a script element: no tag begins in it."""
    from markupsafe import Markup

    document = json_text([row.to_json() for row in rows], ascii_only=True)
    return Markup(document.replace("<", r"\u003c"))
