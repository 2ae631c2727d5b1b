"""The table of concepts, `concepts.parquet`: one row a concept."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from saetask.saes.concepts import Concept

if TYPE_CHECKING:
    import pyarrow

CONCEPTS = "concepts.parquet"


def concepts_of_table(table: "pyarrow.Table") -> list[Concept]:
    """Returns the concepts of a table."""
    return [
        Concept(
            row["id"],
            row["name"],
            row["kind"],
            tuple(row["features"]),
            tuple(row["weights"]),
            row["verdict"],
            tuple(row["words"]),
            tuple(row["examples"]),
        )
        for row in table.to_pylist()
    ]


def concept_rows(path: Path) -> list[Concept]:
    """Reads a dictionary's concepts; none where the dictionary has no such table.

    Raises:
        UserError: The file is damaged.
    """
    from saetask.dictionary.store import read_parquet

    return concepts_of_table(read_parquet(path)) if path.is_file() else []


def make_table(rows: Iterable[dict[str, object]]) -> "pyarrow.Table":
    """Returns the table of some rows."""
    import pyarrow

    texts, numbers = pyarrow.list_(pyarrow.string()), pyarrow.list_(pyarrow.float32())
    schema = pyarrow.schema(
        {
            "id": pyarrow.string(),
            "name": pyarrow.string(),
            "kind": pyarrow.string(),
            "source": pyarrow.string(),
            "features": pyarrow.list_(pyarrow.int32()),
            "weights": numbers,
            "statistic": pyarrow.float32(),
            "null_threshold": pyarrow.float32(),
            "auroc": pyarrow.float32(),
            "verdict": pyarrow.string(),
            "words": texts,
            "examples": texts,
        }
    )
    return pyarrow.Table.from_pylist(list(rows), schema)
