"""The page on speed, generated from what the benchmarks measured.

    python -m benchmarks --all --out docs/speed.json
    python -m benchmarks.performance
    python -m benchmarks.performance --check

Writes `docs/performance.md` from `docs/speed.json`. `--check` writes nothing and exits with 1 if
the page differs from what would be written; where nothing was measured, there should be none.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.pages import ROOT, environment, execute, page_parser
from benchmarks.speed.names import BENCHMARKS
from saetask import UserError
from saetask.utils.files import write_text

COMMAND = "python -m benchmarks.performance"
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
    if document.get("failed"):
        name, reason = next(iter(document["failed"].items()))
        raise UserError(f"{path.name}: benchmark {name} failed ({reason}); {AGAIN}.")
    return document


def page(document: dict[str, Any]) -> str:
    """Returns the page on a document."""
    made = environment()
    made.filters |= {"duration": duration, "figure": figure}
    measured = {name: document[name] for name in BENCHMARKS if name in document}
    template = made.get_template("performance.md.jinja")
    return template.render(document=document, measured=measured)


def outdated(root: Path) -> list[Path]:
    """Returns the page if it differs from what would be written, and nothing else."""
    measured, written = root / MEASURED, root / PAGE
    if not measured.is_file() or not written.is_file():
        return [PAGE] if measured.is_file() or written.is_file() else []
    expected = page(read_document(measured))
    return [] if written.read_text(encoding="utf-8") == expected else [PAGE]


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
    arguments = page_parser(COMMAND, __doc__).parse_args(given)

    def write() -> None:
        write_text(root / PAGE, page(read_document(root / MEASURED)))

    return execute(COMMAND, arguments, lambda: outdated(root), write)


if __name__ == "__main__":
    sys.exit(main())
