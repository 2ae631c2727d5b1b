"""The command `saetask explore`."""

from argparse import Namespace
from dataclasses import dataclass

from saetask.cli.commands import Command
from saetask.cli.options import add_json, open_registry
from saetask.cli.parser import CommandParser, take
from saetask.utils.files import json_text

PORT = 8765


@dataclass(frozen=True)
class AddressOptions:
    """Where the explorer listens."""

    host: str = "127.0.0.1"
    """Address to listen on; any but this machine's own needs --token."""
    port: int = PORT
    """Port to listen on; 0 takes a free one."""
    token: str | None = None
    """Text that readers must know: it is part of the address that is printed."""
    open: bool = False
    """Open the page in the browser."""


def declare_explore(parser: CommandParser) -> None:
    """Adds the flags of `saetask explore`."""
    from saetask.explore.config import ExploreConfig

    parser.add_fields(ExploreConfig)
    parser.add_fields(AddressOptions)
    add_json(parser)


def explore(arguments: Namespace) -> None:
    """Serves the explorer until it is interrupted."""
    import webbrowser

    from saetask.explore.config import ExploreConfig
    from saetask.explore.security import Access
    from saetask.explore.server import serve

    options = take(arguments, AddressOptions)

    def announce(address: str) -> None:
        line = json_text({"address": address}) if arguments.json else f"Explorer: {address}"
        print(line, flush=True)
        if options.open:
            webbrowser.open(address)

    access = Access(options.host, options.port, options.token)
    try:
        serve(take(arguments, ExploreConfig), access, open_registry(arguments), announce)
    except KeyboardInterrupt as ended:  # which is how this command ends
        raise KeyboardInterrupt("the explorer is closed.") from ended


COMMANDS = {
    "explore": Command("read, judge and ask prompts on a local page", declare_explore, explore)
}
