"""Parsers of a benchmark's command line, whose help is the module's docstring."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path


def command_parser(command: str, description: str | None) -> ArgumentParser:
    """Returns a parser without arguments.

    Args:
        command: What runs the module, such as `python -m benchmarks.dictionary`.
        description: The module's docstring.
    """
    return ArgumentParser(
        prog=command, description=description, formatter_class=RawDescriptionHelpFormatter
    )


def items_parser(command: str, description: str | None) -> ArgumentParser:
    """Returns a parser of the items of a task: `TASK [--data ITEMS] [--limit N]`.

    Args:
        command: What runs the module.
        description: The module's docstring.
    """
    parser = command_parser(command, description)
    parser.add_argument("task")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--limit", type=int)
    return parser
