"""Logs in JSON Lines, with columns named by flags."""

from collections.abc import Iterator

from saetask.data import LONGEST_LINE, EvaluatedItem, LogFields, read_rows

from .columns import COLUMN_FIELDS, PlacedRow, ends_with, items_of_rows, table_file


class JSONLines:
    """JSON Lines (.jsonl, .ndjson, also as .gz), one answered prompt a line."""

    name = "jsonl"
    fields = COLUMN_FIELDS

    def recognises(self, log: str) -> bool:
        """Returns whether a log is a file that ends as JSON Lines do."""
        return ends_with(log, ".jsonl", ".ndjson")

    def read(self, log: str, fields: LogFields) -> Iterator[EvaluatedItem]:
        """Yields the item of each line."""
        path = table_file(log)
        rows = read_rows(path, longest=LONGEST_LINE)
        return items_of_rows((PlacedRow(f"{path}:{n}", n, row) for n, row in rows), fields)
