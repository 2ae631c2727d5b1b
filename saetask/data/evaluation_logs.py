"""Logs of evaluations by other programs: recognised where an item file is expected."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

LM_EVAL = "samples of lm-evaluation-harness"
INSPECT = "a log of inspect_ai"
KEYS: Mapping[str, tuple[Collection[str], ...]] = {
    LM_EVAL: ({"doc_id", "doc", "arguments"}, {"doc_id", "resps"}, {"doc", "filtered_resps"}),
    INSPECT: ({"eval", "samples"}, {"eval", "status"}, {"input", "target", "epoch", "output"}),
}
"""Keys that a row or document of a log has, by what it is called; one set of them is enough."""
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
