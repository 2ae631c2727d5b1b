"""What a run folder holds, read and checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saetask.errors import UserError
from saetask.report.fields import read_document, read_text
from saetask.report.figures import Summary
from saetask.report.items import Items, read_items
from saetask.report.summary import read_summary


@dataclass(frozen=True)
class Run:
    """A run folder."""

    name: str
    summary: Summary
    items: Items
    config: str
    environment: dict[str, Any]


def read_run(folder: Path) -> Run:
    """Reads a run folder.

    Raises:
        UserError: The folder or one of its files is missing or damaged.
    """
    if not folder.is_dir():
        raise UserError(f"Run folder {folder} does not exist. Give one that `saetask run` wrote.")
    try:
        return Run(
            name=folder.resolve().name,
            summary=read_summary(folder / "summary.json"),
            items=read_items(folder / "items.jsonl"),
            config=read_text(folder / "config.yaml"),
            environment=read_document(folder / "environment.json").document,
        )
    except UserError as error:
        mend = "Mend the file, or let `saetask run` write a new run folder."
        raise UserError(f"{error} {mend}") from error
