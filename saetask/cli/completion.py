"""Completion of commands, flags and values in a shell, written by shtab."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from saetask.cli.commands import CommandGroup
from saetask.errors import UserError

FLAG = "--print-completion"
SHELLS = ("bash", "zsh", "tcsh")
NAMES_OR_FILES = ("plugin", "experiment", "log", "corpus")
"""Arguments that are texts, and often name a file."""


class PrintCompletion(argparse.Action):
    """Prints the script that completes a parser's command line, and ends."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Prints the script for the shell that is named.

        Raises:
            UserError: shtab is not installed.
        """
        try:
            import shtab
        except ModuleNotFoundError:
            raise UserError(
                f'{FLAG} needs shtab, which is not installed: pip install "saetask[completion]"'
            ) from None
        for action in _actions(parser):
            if action.type is Path or action.dest in NAMES_OR_FILES:
                action.complete = shtab.FILE  # pyright: ignore[reportAttributeAccessIssue]
        print(shtab.complete(parser, shell=str(values)))
        parser.exit()


def command_words(group: CommandGroup) -> list[str]:
    """Returns the names of a group's commands and of those below them."""
    words = []
    for name, command in group.commands():
        words.append(name)
        if isinstance(command, CommandGroup):
            words += command_words(command)
    return words


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yields the actions of a parser and of its subparsers."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from _actions(subparser)
