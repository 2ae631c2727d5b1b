"""The tables of `docs/answers.md`."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "answers.md"


def rows(*columns):
    """The rows of the table with these columns, code spans without their marks."""
    head = f"| {' | '.join(columns)} |"
    _, found, rest = PAGE.read_text(encoding="utf-8").partition(f"\n{head}\n")
    assert found, f"docs/answers.md has no table {head}"
    lines = [line for line in rest.partition("\n\n")[0].splitlines()[1:]]
    return [tuple(_plain(cell) for cell in line[1:-1].split("|")) for line in lines]


def _plain(cell):
    cell = cell.strip().replace("⏎", "\n")
    cell = re.sub(r"\\u([0-9a-f]{4})", lambda code: chr(int(code[1], 16)), cell)
    return cell[1:-1] if cell.startswith("`") else cell
