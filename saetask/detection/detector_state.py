"""Tables in a detector's state, which holds JSON values and arrays only: one entry a column."""

from collections.abc import Mapping
from typing import Any, TypeVar

Table = TypeVar("Table")


def entries(**tables: Any) -> dict[str, Any]:
    """Returns named tuples as entries of a state, such as `known_texts`; None has no entries."""
    return {
        f"{name}_{column}": values
        for name, table in tables.items()
        if table is not None
        for column, values in table._asdict().items()
    }


def table_of(kind: type[Table], name: str, state: Mapping[str, Any]) -> Table | None:
    """Returns a named tuple from the entries of a state; None where it lacks one of them."""
    make: Any = kind
    columns = [f"{name}_{column}" for column in make._fields]
    if not all(column in state for column in columns):
        return None
    return make(*(state[column] for column in columns))
