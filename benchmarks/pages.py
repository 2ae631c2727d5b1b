"""Pages that are generated from what was measured: their templates, and the commands that check."""

import html
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.command_line import command_parser
from saetask.errors import UserError

if TYPE_CHECKING:
    from jinja2 import Environment

ROOT = Path(__file__).parents[1]


def environment() -> "Environment":
    """Returns an environment for the Markdown templates of this folder."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        autoescape=False,  # Markdown: names go through `cell`
        keep_trailing_newline=True,
    )
    made.filters["cell"] = cell
    return made


def cell(text: str) -> str:
    """Returns a text that cannot end a cell of a Markdown table or begin an HTML tag."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "&#124;")


def page_parser(command: str, description: str | None) -> ArgumentParser:
    """Returns a parser that knows `--check`."""
    parser = command_parser(command, description)
    parser.add_argument("--check", action="store_true")
    return parser


def execute(
    command: str,
    arguments: Namespace,
    outdated: Callable[[], list[Path]],
    write: Callable[[], None],
) -> int:
    """Writes the pages, or checks them; returns the exit code.

    Args:
        command: What writes them anew.
        arguments: Parsed by `page_parser`.
        outdated: Returns the files that differ from what would be written.
        write: Writes them.
    """
    try:
        if arguments.check:
            if stale := " and ".join(map(str, outdated())):
                print(f"Not as generated: {stale}. Run `{command}`.")
            return int(bool(stale))
        write()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
