"""Items of a task that has none built in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from saetask import UserError
from saetask.data import Item, read_items


def given_items(
    task: str, data: Path | None, make_item: Callable[[dict[str, Any]], Item]
) -> list[Item]:
    """Reads the items of a file, which must be given.

    Raises:
        UserError: There is no file, or it can not be read; see `read_items`.
    """
    if data is None:
        raise UserError(f"The task {task} has no built-in items: name a file with --data FILE.")
    return read_items(data, make_item)
