"""Tasks: items, the prompt that asks about an item, candidate answers, and scoring.

A task is a plugin. What it may show to detectors and annotators is the prompt; the gold answer
stays inside the task.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from sys import float_info
from typing import Any

from saetask.data.tasks import Item
from saetask.errors import UserError


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the objects of a `.jsonl` or `.jsonl.gz` file with their line numbers.

    Raises:
        UserError: The file is missing, empty or damaged, or a line is no JSON object.
    """
    if not path.is_file():
        raise UserError(f"Data file {path} does not exist.")
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise UserError(f"{path}:{number}: expected a JSON object.")
                yield number, row
    except ValueError as error:
        reason = getattr(error, "msg", error)
        raise UserError(f"{path}:{number}: not valid JSON ({reason}).") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}:{number + 1}: cannot be read ({error}).") from error
    if not number:
        raise UserError(f"Data file {path} is empty; it needs one JSON object a line.")


def read_items(path: Path, make_item: Callable[[dict[str, Any]], Item]) -> list[Item]:
    """Reads an item file; `make_item` raises `FieldError` for a row that does not fit.

    Raises:
        UserError: The file can not be read, a row does not fit (file, line and field are named),
            or an id occurs twice.
    """
    items: dict[str, Item] = {}
    for number, row in read_rows(path):
        try:
            item = make_item(row)
        except FieldError as error:
            raise UserError(f"{path}:{number}: field '{error.field}': {error}") from error
        if item.id in items:
            raise UserError(f"{path}:{number}: field 'id': '{item.id}' occurs twice.")
        items[item.id] = item
    return list(items.values())


class FieldError(Exception):
    """A field of a data row does not fit."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def text_field(row: dict[str, Any], name: str) -> str:
    """Returns a field that must be a non-empty string (a number is taken as its text for ids).

    Raises:
        FieldError: It is missing, empty or no string.
    """
    value = row.get(name)
    if name == "id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise FieldError(name, f"expected a non-empty string, found {value!r}.")
    return value


def number_field(row: dict[str, Any], name: str) -> float:
    """Returns a field that must be a finite number.

    Raises:
        FieldError: It is missing or no number.
    """
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FieldError(name, f"expected a number, found {value!r}.")
    if not abs(value) <= float_info.max:
        raise FieldError(name, "expected a finite number.")
    return float(value)


def index_field(row: dict[str, Any], name: str, length: int) -> int:
    """Returns a field that must be a place in a sequence of so many, counted from 0.

    Raises:
        FieldError: It is missing, no integer, or out of range.
    """
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < length:
        raise FieldError(name, f"expected a whole number from 0 to {length - 1}, found {value!r}.")
    return value


def texts_field(row: dict[str, Any], name: str) -> list[str]:
    """Returns a field that must be a list of non-empty strings; the list itself may be empty.

    Raises:
        FieldError: It is missing, no list, or holds something else.
    """
    values = row.get(name)
    if not isinstance(values, list):
        raise FieldError(name, f"expected a list of texts, found {values!r}.")
    for value in values:
        if not isinstance(value, str) or not value.strip():
            raise FieldError(name, f"expected non-empty strings in it, found {value!r}.")
    return values


_NUMBER = r"-?\d[\d,]*(?:\.\d+)?"


def first_number(text: str) -> float | None:
    """Returns the first number in a text."""
    found = re.search(_NUMBER, text)
    return float(found[0].replace(",", "")) if found else None


def last_number(text: str) -> float | None:
    """Returns the last number in a text (flexible extraction)."""
    found = re.findall(_NUMBER, text)
    return float(found[-1].replace(",", "")) if found else None


def stated_number(text: str) -> float | None:
    """Returns the number stated as `#### 7`, `answer is 7` or `= 7` at the end (strict)."""
    pattern = rf"(?:####|answer(?: is|:)|=)\s*\$?({_NUMBER})\W*$"
    found = re.search(pattern, text.strip(), re.IGNORECASE)
    return float(found[1].replace(",", "")) if found else None
