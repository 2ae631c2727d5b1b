"""Fields of JSON documents, checked as they are read, so that damage is told with its place."""

import json
import math
from pathlib import Path
from typing import Any

from saetask.errors import UserError

Interval = tuple[float, float]


class Fields:
    """A JSON object from a file; every getter raises `UserError` for a value of another type.

    Absent, null and non-finite values are None (NaN is what Python writes for "not defined").
    """

    def __init__(self, document: object, where: str) -> None:
        """Takes the object and the place to name in errors, such as `items.jsonl:12`."""
        if not isinstance(document, dict):
            raise UserError(f"{where}: expected a JSON object.")
        self.document: dict[str, Any] = document
        self.where = where

    def number(self, name: str) -> float | None:
        """Returns a finite number or None."""
        value = self.document.get(name)
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(name, "a number")
        return value

    def count(self, name: str) -> int | None:
        """Returns a whole number or None."""
        value = self.number(name)
        if value is not None and value != int(value):
            raise self.error(name, "a whole number")
        return None if value is None else int(value)

    def share(self, name: str) -> float | None:
        """Returns a number from 0 to 1 or None."""
        value = self.number(name)
        if value is not None and not 0 <= value <= 1:
            raise self.error(name, "a share from 0 to 1")
        return value

    def flag(self, name: str) -> bool:
        """Returns true or false; this one may not be absent."""
        value = self.document.get(name)
        if not isinstance(value, bool):
            raise self.error(name, "true or false")
        return value

    def numbers(self, name: str) -> list[float | None]:
        """Returns a list of numbers, empty where it is absent."""
        value = self.document.get(name)
        if not isinstance(value, list | None):
            raise self.error(name, "a list of numbers")
        named = {f"entry {place}": entry for place, entry in enumerate(value or [])}
        entries = Fields(named, f"{self.where} ({name})")
        return [entries.number(place) for place in named]

    def interval(self, name: str) -> Interval | None:
        """Returns a pair of numbers or None."""
        if self.document.get(name) is None:
            return None
        if len(ends := self.numbers(name)) != 2:
            raise self.error(name, "a list of two numbers")
        low, high = ends
        return None if low is None or high is None else (low, high)

    def text(self, name: str) -> str:
        """Returns a text, "" where it is absent; numbers are written out."""
        value = self.document.get(name)
        if isinstance(value, list | dict):
            raise self.error(name, "a text")
        return "" if value is None else str(value)

    def objects(self, name: str) -> "list[Fields]":
        """Returns a list of objects, empty where it is absent."""
        value = self.document.get(name)
        if not isinstance(value, list | None):
            raise self.error(name, "a list")
        return [Fields(entry, f"{self.where} ({name})") for entry in value or []]

    def mapping(self, name: str) -> dict[str, Any]:
        """Returns an object as it is, empty where it is absent."""
        value = self.document.get(name)
        if not isinstance(value, dict | None):
            raise self.error(name, "a JSON object")
        return value or {}

    def nested(self, name: str) -> "Fields":
        """Returns the fields of an object, none where it is absent."""
        return Fields(self.mapping(name), f"{self.where} ({name})")

    def error(self, name: str, expected: str) -> UserError:
        """Returns the error for a field that is not what it should be."""
        return UserError(f'{self.where}: "{name}" must be {expected}.')


def read_text(path: Path) -> str:
    """Returns the text of a file of the run folder.

    Raises:
        UserError: It is missing or cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}).") from error


def read_document(path: Path) -> Fields:
    """Returns the fields of a JSON file.

    Raises:
        UserError: It is missing, cannot be read, or does not hold a JSON object.
    """
    try:
        return Fields(json.loads(read_text(path)), str(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not valid JSON ({error.msg}).") from error
