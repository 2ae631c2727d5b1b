"""Executes notebooks from top to bottom; fails on an error, and on outputs that are not the stored.

    python notebooks/execute.py [--write] [NOTEBOOK ...]

Without names it takes every notebook beside this file. How outputs are compared, and with what
tolerance, is in `outputs.py`. With --write they are stored in the notebooks instead; what cells
write to stderr (progress, warnings) is not.
"""

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from outputs import differences

WIDGET = "application/vnd.jupyter.widget-view+json"
"""What a progress bar is displayed as where ipywidgets is installed."""
COMMAND = "python notebooks/execute.py"
CELL_TIMEOUT = 1800
"""Seconds; the first use of a task fits its detector, which takes minutes."""


def execute(path: Path) -> nbformat.NotebookNode:
    """Returns a notebook with its outputs, but for progress bars; it runs in its own folder."""
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.parent)}}
    NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        resources=folder,
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
    ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if WIDGET not in each.get("data", {})]
    return notebook


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Stores a notebook without what its cells wrote to stderr."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def main() -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="store the outputs")
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK")
    arguments = parser.parse_args()
    paths = arguments.notebooks or sorted(Path(__file__).parent.glob("*.ipynb"))
    absent = [str(path) for path in paths if not path.is_file()]
    if absent or not paths:
        parser.error(f"no notebook: {', '.join(absent) or 'none found'}")
    failed = 0
    for path in paths:
        started = time.monotonic()
        try:
            notebook = execute(path)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            print(f"{path.name}: failed\n{error}", file=sys.stderr)
            failed += 1
            continue
        if arguments.write:
            write(notebook, path)
        elif found := differences(nbformat.read(path, as_version=4), notebook):
            print(f"{path.name}: stored outputs differ from today's:\n{found}", file=sys.stderr)
            print(f"If the new ones are right: {COMMAND} --write", file=sys.stderr)
            failed += 1
            continue
        print(f"{path.name}: {len(notebook.cells)} cells, {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
