"""The pages of the reference: the public names of `saetask` and of each subpackage that has some.

    python -m benchmarks.reference [--check]

Writes `docs/reference`, a page for each `__init__.pyi`; mkdocstrings puts the docstrings in where
the site is built. `--check` writes nothing and exits with 1 if they differ from what would be
written.
"""

import ast
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.pages import ROOT, execute, page_parser
from saetask.utils.files import write_text

COMMAND = "python -m benchmarks.reference"
FOLDER = Path("docs/reference")
WRITTEN = f"<!-- Written by {COMMAND} from __init__.pyi; changes by hand are lost. -->"


def public_names(stub: Path) -> list[str]:
    """Returns the names that a stub makes public: those that it imports under their own name."""
    tree = ast.parse(stub.read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return sorted(alias.asname for node in imports for alias in node.names if alias.asname)


def documents(root: Path) -> dict[Path, str]:
    """Returns the text of each page, by path under the project's root."""
    pages = {}
    for stub in sorted((root / "saetask").rglob("__init__.pyi")):
        module = ".".join(stub.parent.relative_to(root).parts)
        docstring = ast.get_docstring(ast.parse((stub.parent / "__init__.py").read_text("utf-8")))
        lines = [WRITTEN, f"# {module}", "", *([docstring, ""] if docstring else [])]
        lines += [f"::: {module}.{name}" for name in public_names(stub)]
        pages[FOLDER / f"{module}.md"] = "\n".join(lines) + "\n"
    return pages


def outdated(root: Path) -> list[Path]:
    """Returns the pages that differ from what would be written, or are not generated."""
    wanted = documents(root)
    there = {path.relative_to(root) for path in (root / FOLDER).glob("*.md")}
    return sorted(
        path
        for path in wanted.keys() | there
        if path not in there or (root / path).read_text(encoding="utf-8") != wanted.get(path)
    )


def write(root: Path) -> None:
    """Writes the pages, and removes those that are not generated."""
    wanted = documents(root)
    for path, text in wanted.items():
        write_text(root / path, text)
    for path in (root / FOLDER).glob("*.md"):
        if path.relative_to(root) not in wanted:
            path.unlink()


def main(given: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Runs the command and returns its exit code."""
    arguments = page_parser(COMMAND, __doc__).parse_args(given)
    return execute(COMMAND, arguments, lambda: outdated(root), lambda: write(root))


if __name__ == "__main__":
    sys.exit(main())
