"""Evaluation logs for discovery, read by the importers that are installed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saetask.data import importers
from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.importers import LogFields
from saetask.errors import UserError, did_you_mean
from saetask.plugins import PluginRegistry


def read_log(
    log: str | Path, format: str = "auto", plugins: PluginRegistry | None = None, **fields: Any
) -> Iterator[EvaluatedItem]:
    """Returns the items of an evaluation log, read one by one and checked.

    Args:
        log: A run folder of saetask, samples of lm-evaluation-harness, a log of inspect_ai, a JSONL
            or CSV file, or a data set.
        format: Name of an importer; `auto` takes the one that recognises the log.
        plugins: Where importers are looked up; None takes those of the installed packages.
        fields: Which parts of the log are read: fields of `saetask.data.LogFields`.

    Raises:
        UserError: A field is unknown; see also `saetask.data.importers.read_log`.
    """
    if unknown := [name for name in fields if name not in LogFields.__dataclass_fields__]:
        hint = did_you_mean(unknown[0], LogFields.__dataclass_fields__)
        raise UserError(f"read_log has no field '{unknown[0]}'.{hint}")
    known = (plugins or PluginRegistry()).by_name("importer")
    return importers.read_log(log, format, LogFields(**fields), known)
