"""Measures how fast saetask is and prints one JSON document.

    python -m benchmarks --all [--out docs/speed.json]
    python -m benchmarks read rank
    python -m benchmarks first_use [--tests]

Each benchmark stands in a file of `benchmarks/speed`, which says what is compared: `limit`, the
bare computation; `today`, what one writes with SAE-Lens; `saetask`. Ways of doing the same work
take turns in every round, and figures are medians over the rounds. `--quick` does little of
everything, to see that it runs. `SAETASK_DTYPE` sets the model's floating-point type. Where a
benchmark fails, the document has the others' figures, and the exit code is 1.
`first_use` follows the README's commands in an empty folder; it is none of `--all`.
"""

import argparse
import contextlib
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import first_use
from benchmarks.command_line import command_parser
from benchmarks.speed.amounts import QUICK, Amounts
from benchmarks.speed.machine import hardware, versions
from benchmarks.speed.names import BENCHMARKS
from benchmarks.speed.subject import Setting, Subject, load_subject
from saetask import UserError
from saetask.errors import did_you_mean, one_line_errors
from saetask.utils.files import write_json

MOST_ROUNDS = 50
"""Beyond this there are too few prompts for `detect`, which takes new ones in every round."""


def measure_all(
    names: Sequence[str], load: Callable[[], Subject], rounds: int, amounts: Amounts
) -> dict[str, Any]:
    """Runs benchmarks and returns the document.

    Args:
        names: Which of `BENCHMARKS`.
        load: Loads the model and the SAE; called if one of the benchmarks needs them.
        rounds: Timed rounds.
        amounts: How much is done in a round.

    Returns:
        The document; the reasons of benchmarks that failed are its `failed`, by name.
    """
    loaded: list[Subject] = []

    def load_once() -> Subject:
        loaded[:] = loaded or [load()]
        return loaded[0]

    found: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name in names:
        print(f"benchmark: {name}", file=sys.stderr)
        start = time.perf_counter()
        try:
            module = importlib.import_module(f"benchmarks.speed.{BENCHMARKS[name]}")
            with TemporaryDirectory() as folder:
                found[name] = module.measure(Setting(load_once, rounds, amounts, Path(folder)))
        except Exception as error:  # the others' figures are worth having
            traceback.print_exc(file=sys.stderr)
            failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"
        else:
            found[name]["took_s"] = round(time.perf_counter() - start, 1)
    return {
        "schema_version": 1,
        "hardware": hardware(),
        "versions": versions(),
        "rounds": rounds,
        "dtype": loaded[0].dtype if loaded else None,
        **found,
        **({"failed": failed} if failed else {}),
    }


def _chosen(arguments: argparse.Namespace) -> list[str]:
    """Returns the benchmarks that are asked for, in their own order.

    Raises:
        UserError: A name is unknown, there is none, or the number of rounds is out of range.
    """
    for name in arguments.names:
        if name not in BENCHMARKS:
            raise UserError(f"Unknown benchmark '{name}'.{did_you_mean(name, BENCHMARKS)}")
    if not 1 <= arguments.rounds <= MOST_ROUNDS:
        raise UserError(f"--rounds is {arguments.rounds}; it must be 1 to {MOST_ROUNDS}.")
    if not arguments.names and not arguments.all:
        raise UserError(f"Name benchmarks ({', '.join(BENCHMARKS)}), or give --all.")
    return [name for name in BENCHMARKS if arguments.all or name in arguments.names]


@one_line_errors("benchmarks")
def main(given: Sequence[str] | None = None, load: Callable[[], Subject] = load_subject) -> int:
    """Runs the command line and returns its exit code."""
    words = sys.argv[1:] if given is None else given
    if words[:1] == ["first_use"]:
        return first_use.main(words[1:])
    parser = command_parser("python -m benchmarks", __doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (5)")
    parser.add_argument("--quick", action="store_true", help="little work, to see that it runs")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the document there, too")
    arguments = parser.parse_args(words)
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    amounts = QUICK if arguments.quick else Amounts()
    names = _chosen(arguments)
    with contextlib.redirect_stdout(sys.stderr):  # what libraries print is no result
        document = measure_all(names, load, arguments.rounds, amounts)
    if arguments.out:
        write_json(arguments.out, document)
    print(json.dumps(document, indent=2, ensure_ascii=False))
    for name, reason in document.get("failed", {}).items():
        print(f"benchmarks: {name} failed: {reason}", file=sys.stderr)
    return 1 if "failed" in document else 0


if __name__ == "__main__":
    sys.exit(main())
