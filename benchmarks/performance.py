"""The page on speed, generated from what the benchmarks measured.

    python -m benchmarks --all --out docs/speed.json
    python -m benchmarks.performance
    python -m benchmarks.performance --check

Writes `docs/performance.md` from `docs/speed.json`. `--check` writes nothing and exits with 1 if
the page differs from what would be written; where nothing was measured, there should be none.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import ROOT, TEMPLATES, cell
from benchmarks.speed.names import BENCHMARKS
from saetask import UserError
from saetask.cache import write_text

MEASURED, PAGE = Path("docs/speed.json"), Path("docs/performance.md")
NEEDED = ("hardware", "versions", "rounds", "dtype")
AGAIN = "write it anew with `python -m benchmarks --all --out docs/speed.json`"


def read_document(path: Path) -> dict[str, Any]:
    """Reads what the benchmarks wrote.

    Raises:
        UserError: It is no document of theirs.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"Cannot read {path.name}: {reason}; {AGAIN}.") from error
    missing = [name for name in NEEDED if name not in document]
    if missing or not any(name in document for name in BENCHMARKS):
        raise UserError(f"{path.name} has no {(missing or ['benchmark'])[0]}; {AGAIN}.")
    return document


def page(document: dict[str, Any]) -> str:
    """Returns the page on a document."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        autoescape=False,  # Markdown: names go through `cell`
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": cell, "duration": duration, "figure": figure}
    measured = {name: document[name] for name in BENCHMARKS if name in document}
    template = environment.get_template("performance.md.jinja")
    return template.render(document=document, measured=measured)


def outdated(root: Path) -> bool:
    """Tells whether the page differs from what would be written."""
    measured, written = root / MEASURED, root / PAGE
    if not measured.is_file() or not written.is_file():
        return measured.is_file() or written.is_file()
    return written.read_text(encoding="utf-8") != page(read_document(measured))


def duration(seconds: float) -> str:
    """Writes a time such as `1.53 ms`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{figure(seconds / size)} {unit}"
    return f"{figure(seconds * 1e6)} µs"


def figure(value: float) -> str:
    """Writes a number with three significant digits, such as `0.873` or `1,530`."""
    short = float(f"{value:.3g}")
    return f"{short:,.0f}" if abs(short) >= 1000 else f"{short:#.3g}".rstrip(".")


def main(given: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.performance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args(given)
    try:
        if arguments.check:
            if stale := outdated(root):
                print(f"Not as generated: {PAGE}. Run `python -m benchmarks.performance`.")
            return int(stale)
        write_text(root / PAGE, page(read_document(root / MEASURED)))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
