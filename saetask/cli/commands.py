"""The tree of commands: what each does, its flags and its function."""

from argparse import Namespace
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from saetask.cli.options import open_registry
from saetask.cli.parser import CommandParser


class Command(NamedTuple):
    """A command."""

    summary: str
    declare: Callable[[CommandParser], None]
    """Adds the command's flags to its parser."""
    execute: Callable[[Namespace], None]


class CommandGroup(NamedTuple):
    """Commands that share their first word."""

    summary: str
    sections: "Mapping[str, Mapping[str, Command | CommandGroup]]"
    """Commands by name, below the titles under which the overview shows them."""

    def commands(self) -> "Iterator[tuple[str, Command | CommandGroup]]":
        """Yields each command with its name."""
        for section in self.sections.values():
            yield from section.items()


def add_commands(parser: CommandParser, group: CommandGroup, words: Collection[str]) -> None:
    """Adds the commands of a group to a parser, as subcommands.

    Args:
        parser: The group's parser.
        group: The commands.
        words: The words of the command line. A command that is not among them gets no flags:
            declaring flags imports the configs that they belong to.
    """
    parser.overview = overview(parser.prog, group)
    parser.set_defaults(execute=lambda arguments: print(parser.overview))
    subparsers = parser.add_subparsers(metavar="COMMAND", prog=parser.prog)
    for name, command in group.commands():
        sentence = _sentence(command.summary)
        subparser = subparsers.add_parser(name, help=command.summary, description=sentence)
        if name not in words:
            continue
        if isinstance(command, CommandGroup):
            add_commands(subparser, command, words)
        else:
            _add_flags(subparser, command)


def _add_flags(parser: CommandParser, command: Command) -> None:
    """Adds the flags of a command and those that every command has."""
    command.declare(parser)
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE.py",
        help="A file with a plugin of your own; may be repeated.",
    )
    parser.add_argument("--quiet", action="store_true", default=False, help="Print no progress.")
    parser.add_argument(
        "--debug", action="store_true", default=False, help="Show the traceback of an error."
    )
    parser.set_defaults(execute=partial(_execute, command))
    parser.shorten_usage()


def _execute(command: Command, arguments: Namespace) -> None:
    """Executes a command; a plugin file that fails is refused even where no plugin is looked up."""
    if arguments.plugin:
        open_registry(arguments)
    command.execute(arguments)


def overview(prog: str, group: CommandGroup) -> str:
    """Returns the page that lists the commands of a group, by section."""
    lines = [f"usage: {prog} COMMAND ...", "", _sentence(group.summary), ""]
    width = max(len(name) for name, _ in group.commands())
    for title, section in group.sections.items():
        lines.append(f"{title}:")
        lines += [f"  {name:<{width}}  {command.summary}" for name, command in section.items()]
    return "\n".join([*lines, "", f"Flags of a command: {prog} COMMAND --help"])


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."
