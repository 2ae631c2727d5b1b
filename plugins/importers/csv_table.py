"""Logs as CSV tables, with columns named by flags."""

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from saetask import UserError
from saetask.data import LONGEST_LINE, EvaluatedItem, LogFields, read_lines

from .columns import COLUMN_FIELDS, PlacedRow, ends_with, items_of_rows, table_file

LONGEST_CELL = 1 << 24
"""Maximum number of characters of a cell; a longer one is most often a quote that is not closed."""


class CSVTable:
    """A table with a header (.csv with comma, semicolon or tab; .tsv; also as .gz)."""

    name = "csv"
    fields = COLUMN_FIELDS

    def recognises(self, log: str) -> bool:
        """Returns whether a log is a file that ends as tables do."""
        return ends_with(log, ".csv", ".tsv")

    def read(self, log: str, fields: LogFields) -> Iterator[EvaluatedItem]:
        """Yields the item of each row."""
        return items_of_rows(_rows(table_file(log)), fields)


def _rows(path: Path) -> Iterator[PlacedRow]:
    csv.field_size_limit(LONGEST_CELL)  # by default prompts of 131,073 characters are too long
    lines = (line for _, line in read_lines(path, with_ends=True, longest=LONGEST_LINE))
    first = next(lines, "")
    reader = csv.reader(chain([first], lines), delimiter=_delimiter(first), strict=True)
    try:
        header = next(reader, [])
        if twice := {name for name in header if header.count(name) > 1}:
            raise UserError(f"{path}:1: the column '{min(twice)}' occurs twice.")
        number = 0
        for cells in reader:
            if not cells:  # a blank line
                continue
            number += 1
            place = f"{path}:{reader.line_num}"
            if len(cells) != len(header):
                raise UserError(
                    f"{place}: the row has {len(cells)} cells, but the header has {len(header)}; "
                    "is a quote or a delimiter missing?"
                )
            yield PlacedRow(place, number, dict(zip(header, cells)))
    except csv.Error as error:
        raise UserError(
            f"{path}:{reader.line_num}: not valid CSV ({error}); is a quote not closed?"
        ) from error


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)
