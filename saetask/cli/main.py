"""The command line: parses, calls the command's function, and turns errors into exit codes.

Results go to stdout, progress and logs to stderr. Exit codes: 0 done, 1 failed, 2 user error,
130 interrupted.
"""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version

from saetask.cli import (
    completion,
    dictionary,
    discovery,
    experiments,
    explore,
    installation,
    prompts,
    steering,
    training,
)
from saetask.cli.commands import CommandGroup, add_commands
from saetask.cli.parser import CommandParser
from saetask.errors import UserError

INTERRUPTED = "interrupted; the same command goes on from what it has kept."
ROOT = CommandGroup(
    "detect what a language model misread in a prompt, write it back, and test if that helps",
    {
        "One prompt": {**prompts.COMMANDS, **steering.COMMANDS, **explore.COMMANDS},
        "Experiments": {**experiments.COMMANDS, **discovery.COMMANDS},
        "SAEs and dictionaries": {**training.COMMANDS, "dictionary": dictionary.GROUP},
        "This installation": installation.COMMANDS,
    },
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line.

    Args:
        argv: The words after `saetask`; None takes those of this process.

    Returns:
        The exit code.
    """
    debug = False
    _write_utf8()
    try:
        arguments = make_parser(words := sys.argv[1:] if argv is None else argv).parse_args(words)
        debug = getattr(arguments, "debug", False)
        # Before these libraries are imported: what they print is no result of a command.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        # Threads that wait for each other by spinning double the work where other programs run.
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
        if getattr(arguments, "quiet", False):
            os.environ["TQDM_DISABLE"] = "1"
        arguments.execute(arguments)
    except SystemExit as finished:  # argparse has printed the help or the version
        return int(finished.code or 0)
    except UserError as error:
        if debug:
            raise
        print(f"saetask: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as ended:
        print(f"saetask: {str(ended) or INTERRUPTED}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who reads the output has seen enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:
        if debug:
            raise
        print(f"saetask: failed: {error!r} ({_place(error)}; --debug shows more)", file=sys.stderr)
        return 1
    return 0


def _place(error: Exception) -> str:
    """Returns the file and line that raised an error: a plugin's own file, for instance."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}, line {last.lineno}"


def _write_utf8() -> None:
    """Has both streams write UTF-8, whatever the terminal or the system's locale."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=stream.errors)


def make_parser(words: Sequence[str]) -> CommandParser:
    """Returns the parser of the whole command line.

    Args:
        words: The words to be parsed; only the commands among them have their flags declared.
    """
    parser = CommandParser(prog="saetask")
    parser.add_argument("--version", action="version", version=version("saetask"))
    parser.add_argument(
        completion.FLAG,
        action=completion.PrintCompletion,
        choices=completion.SHELLS,
        help="Print a script that completes the command line.",
    )
    if words and words[0].startswith(completion.FLAG):  # it is about every command
        words = completion.command_words(ROOT)
    add_commands(parser, ROOT, words)
    return parser
