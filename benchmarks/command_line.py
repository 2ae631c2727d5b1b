"""The parser of a benchmark's command line, whose help is the module's docstring."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter


def command_parser(command: str, description: str | None) -> ArgumentParser:
    """Returns a parser without arguments.

    Args:
        command: What runs the module, such as `python -m benchmarks.dictionary`.
        description: The module's docstring.
    """
    return ArgumentParser(
        prog=command, description=description, formatter_class=RawDescriptionHelpFormatter
    )
