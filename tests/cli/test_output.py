"""What every command prints: UTF-8 whatever the locale, no colour where none is wanted, JSON."""

import io
import re
import sys

import pytest

from saetask.cli.main import ROOT, main, make_parser
from saetask.cli.tables import make_table, print_table
from tests.helpers.command_words import commands

COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|38|9[0-7])(?:;\d+)*m")


def test_output_is_utf8_whatever_the_locale(monkeypatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["plugins"]) == 0
    sys.stdout.flush()
    assert "─" in written.getvalue().decode("utf-8")


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("has_colour", [True, False])
def test_no_color_is_honoured(monkeypatch, has_colour) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    if not has_colour:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    table = make_table("a")
    table.add_row("[red]b[/red]")
    print_table(table)
    assert bool(COLOUR.search(out.getvalue())) is has_colour


@pytest.mark.parametrize("words", list(commands(ROOT)), ids=" ".join)
def test_every_command_has_json(words) -> None:
    parser = make_parser(words)
    for word in words:
        (parser,) = (a.choices[word] for a in parser._actions if isinstance(a.choices, dict))
    assert "--json" in parser._option_string_actions
