"""The commands of the command line, as a user types them."""

from collections.abc import Iterator

from saetask.cli.commands import CommandGroup


def commands(group: CommandGroup, *words: str) -> Iterator[list[str]]:
    """Yields the words of every command below a group."""
    for name, command in group.commands():
        if isinstance(command, CommandGroup):
            yield from commands(command, *words, name)
        else:
            yield [*words, name]
