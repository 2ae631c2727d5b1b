"""Discoveries on logs of real answers, as the table of the page on discovery.

    python -m benchmarks.real_discoveries NAME=DISCOVERY ... [--out docs/real_discoveries.json]

A discovery is a folder of `saetask discover`. The page is written by `python -m
benchmarks.discovery_power --page docs/discovery_power.json`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.command_line import command_parser
from benchmarks.pages import ROOT
from saetask.errors import UserError, one_line_errors
from saetask.utils.files import read_json, write_json

DOCUMENT = ROOT / "docs" / "real_discoveries.json"
TOLD = 3
"""Number of confirmed discoveries that are told of a log, those of the smallest q."""
CONTROLS = ("words", "word-classes", "random-sae")


def told(discovery: dict[str, Any]) -> dict[str, Any]:
    """Returns what the page tells of one hypothesis."""
    keys = ("name", "n_with", "failure_with", "failure_without", "difference", "ci95", "q")
    return {key: discovery[key] for key in (*keys, "needs_sae")}


def row(name: str, folder: Path) -> dict[str, Any]:
    """Returns what the page tells of a discovery."""
    summary = read_json(folder / "summary.json")
    tested = sorted(summary["discoveries"], key=lambda each: each["q"])
    confirmed = [each for each in tested if each["confirmed"]]
    controls = summary["controls"]
    return {
        "log": name,
        **{key: summary[key] for key in ("model", "n_items", "failure_rate")},
        "n_tested": len(tested),
        "n_confirmed": len(confirmed),
        "n_beyond_words": sum(bool(each["needs_sae"]) for each in confirmed),
        "controls": {
            name: {key: controls[name][key] for key in ("n_confirmed", "n_tested")}
            for name in CONTROLS
        },
        "permuted": controls["permuted"],
        "power": summary["power"],
        "confirmed": [told(each) for each in confirmed[:TOLD]],
        "nearest": told(tested[0]) if tested and not confirmed else None,
    }


@one_line_errors("real_discoveries")
def main(given: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = command_parser("python -m benchmarks.real_discoveries", __doc__)
    parser.add_argument("discoveries", nargs="+", metavar="NAME=DISCOVERY")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    options = parser.parse_args(given)
    named = [each.partition("=") for each in options.discoveries]
    if not all(folder for _, _, folder in named):
        raise UserError("Give NAME=DISCOVERY, the folder of a discovery with its name.")
    write_json(options.out, [row(name, Path(folder)) for name, _, folder in named])
    return 0


if __name__ == "__main__":
    sys.exit(main())
