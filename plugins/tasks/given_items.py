"""Items of a task that has none built in."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from saetask import UserError
from saetask.data import Item, ItemRow, read_items

RowType = TypeVar("RowType", bound=ItemRow)


def given_items(
    task: str, data: Path | None, row_type: type[RowType], make_item: Callable[[RowType], Item]
) -> list[Item]:
    """Reads the items of a file, which must be given.

    Raises:
        UserError: There is no file, or it can not be read; see `read_items`.
    """
    if data is None:
        raise UserError(
            f"Task '{task}' has no items of its own: give a file of items "
            "(--data FILE; from Python, data=FILE)."
        )
    return read_items(data, row_type, make_item)
