"""Tables for people: nothing is cut off, whatever the width."""

import io
import re
import sys

import pytest

from saetask.cli.discovery import _print_summary
from saetask.cli.tables import firings_table, make_table, print_table, wrapped
from saetask.data.prompts import Span
from saetask.saes.activations import Firing
from tests.helpers.planted_discovery import discovery, summary

NAMES = (
    "verbs of having and giving (lost, gave)",
    "feature 1234, on quantities of money and the like in sentences (about)",
)

STYLE = re.compile(r"\x1b\[[\d;]*m")


class Terminal(io.StringIO):
    """Standard output that says that it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Returns a function that has what is printed on a terminal of a width."""

    def printed(print_it, width):
        for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setattr(sys, "stdout", Terminal())
        print_it()
        return sys.stdout.getvalue()

    return printed


def wide_table():
    table = make_table("arm", "accuracy", "95 % interval", right=("accuracy", "95 % interval"))
    table.add_row("a control with a rather long name", "51.25 %", "+48.5 to +54.5")
    return table


def found():
    return summary(*(discovery(name=name, q=0.00052) for name in NAMES))


@pytest.mark.parametrize("width", [80, 100, 140])
def test_names_of_discoveries_are_whole_words_on_a_terminal(terminal, width):
    said = STYLE.sub("", terminal(lambda: _print_summary(found()), width))
    table = said[: said.index("800 prompts")]
    assert "…" not in table
    assert all(len(line) <= width for line in table.splitlines())
    words = table.split()
    assert all(word in words for name in NAMES for word in name.split())
    assert all(figure in table for figure in ("60.0 %", "+26.0 to +44.0", "0.00052"))


def test_into_a_pipe_a_row_is_a_line(capsys):
    _print_summary(found())
    lines = capsys.readouterr().out.splitlines()
    assert all(any(name in line for line in lines) for name in NAMES)


@pytest.mark.parametrize("width", [20, 30, 40])
def test_figures_are_never_cut_off(terminal, width):
    said = STYLE.sub("", terminal(lambda: print_table(wide_table()), width))
    digits = sorted(re.findall(r"\d", said))
    assert "…" not in said and digits == sorted("95" + "5125" + "485" + "545")


def test_no_color_is_heeded(terminal, monkeypatch):
    table = make_table("name")
    table.add_row("[red]a warning[/red]")
    assert "\x1b[31m" in terminal(lambda: print_table(table), 80)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", Terminal())
    print_table(table)
    said = sys.stdout.getvalue()
    assert "a warning" in said and "\x1b[31m" not in said


@pytest.mark.parametrize("width", [80, 120])
def test_columns_say_the_width_also_where_stdout_is_no_terminal(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    _print_summary(found())
    table = capsys.readouterr().out.split("800 prompts")[0]
    assert max(map(len, table.splitlines())) <= width


def firing(feature, name=""):
    return Firing(0, 1, Span(0, 4), " [b]", feature, 2.5, f"label {feature}", name)


def test_firings_have_a_column_of_names_where_one_has_a_name(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    labels = {1: "label [red]1", 2: "label 2"}
    print_table(firings_table([firing(1, "food (tea)"), firing(2)], labels))
    named = capsys.readouterr().out
    print_table(firings_table([firing(1), firing(2)], labels))
    assert "food (tea)" in named and "name" in named and "name" not in capsys.readouterr().out
    print_table(firings_table([firing(1, "food (tea)"), firing(2)], labels, both=False))
    short = capsys.readouterr().out
    assert "food (tea)" in short and "label [red]1" not in short and "label 2" in short
    assert "label [red]1" in named and "' [b]'" in named  # texts are no markup


def test_lines_are_wrapped_at_blanks_for_a_terminal_only():
    line = "one-two three " * 9
    assert all(len(part) <= 20 for part in wrapped(line, 20).splitlines())
    assert " ".join(wrapped(line, 20).split()) == line.strip()
    assert wrapped(line, None) == line
