"""Logs of evaluations by other programs: recognised where an item file is expected."""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from saetask.errors import UserError
from saetask.utils.files import read_lines

LM_EVAL = "samples of lm-evaluation-harness"
INSPECT = "a log of inspect_ai"
SAETASK = "items of a run of saetask"
KEYS: Mapping[str, tuple[Collection[str], ...]] = {
    LM_EVAL: ({"doc_id", "doc", "arguments"}, {"doc_id", "resps"}, {"doc", "filtered_resps"}),
    INSPECT: ({"eval", "samples"}, {"eval", "status"}, {"input", "target", "epoch", "output"}),
    SAETASK: ({"id", "arm", "prompt", "output", "correct", "misunderstandings"},),
}
"""Keys that a row or document of a log has, by what it is called; one set of them is enough."""
LONGEST_LINE = 1 << 26
"""Maximum number of bytes of a line of a log: one that is longer is no row."""
HEAD_BYTES = 4096
"""Length of the beginning of a file that tells a log of several lines."""


def log_kind(row: Mapping[str, Any]) -> str | None:
    """Returns what kind of log a row is from; None if it is from none."""
    kinds = (kind for kind, sets in KEYS.items() if any(row.keys() >= set(keys) for keys in sets))
    return next(kinds, None)


def log_file_kind(path: Path) -> str | None:
    """Returns what kind of log a file is that has no row a line; None if it is none."""
    if path.suffix == ".eval":
        return INSPECT
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return None
    is_log = re.match(rb"\s*\{", head) and re.search(rb'"eval"\s*:\s*\{', head)
    return INSPECT if is_log and b'"status"' in head else None


def first_row(path: Path) -> Mapping[str, Any]:
    """Returns the first object of a file of JSON Lines; an empty one where it has none."""
    try:
        row = next((json.loads(line) for _, line in read_lines(path, longest=LONGEST_LINE)), None)
    except (UserError, ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}
