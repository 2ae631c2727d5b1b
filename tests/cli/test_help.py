"""Help pages of all commands."""

import re

import pytest

from saetask.cli.main import ROOT, main, make_parser
from tests.helpers.command_words import commands

LONGEST = 100
"""Characters of a flag's explanation, without its default."""


every_command = pytest.mark.parametrize("words", list(commands(ROOT)), ids=" ".join)


def page_of(words, capsys):
    assert main([*words, "--help"]) == 0
    return capsys.readouterr().out


def arguments_of(words):
    """Returns the arguments of a command's parser."""
    parser = make_parser(words)
    for word in words:
        (parser,) = (a.choices[word] for a in parser._actions if isinstance(a.choices, dict))
    return parser._actions


@every_command
def test_every_argument_is_explained_in_one_line(words, capsys) -> None:
    lines = page_of(words, capsys).splitlines()
    for argument in arguments_of(words):
        explanation, _, _ = (argument.help or "").partition(" (default: ")
        assert 0 < len(explanation) <= LONGEST, argument.dest
        name = argument.option_strings[-1] if argument.option_strings else argument.metavar
        (line,) = (line for line in lines if re.match(rf" +(-h, )?{name}( |$)", line))
        assert line.endswith("."), line


@every_command
def test_a_page_has_no_noise(words, capsys) -> None:
    page = page_of(words, capsys)
    assert page.startswith(f"usage: saetask {' '.join(words)} ")
    for noise in (r"--\w*_\w*", "ITEM", r"--\w+\+", "null", "None", "type:", "config: ", "print_"):
        assert not re.search(noise, page), noise
    assert {"--help", "--plugin", "--debug"} <= set(re.findall(r"--[\w-]+", page))


@every_command
def test_a_positional_is_no_flag_as_well(words) -> None:
    names = [argument.dest for argument in arguments_of(words)]
    assert len(names) == len(set(names))


@every_command
def test_an_unknown_flag_is_refused(words, capsys) -> None:
    assert main([*words, "--jsn"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'--jsn'" in line or "arguments are required" in line
