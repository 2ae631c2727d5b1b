"""Tasks: items, the prompt that asks about an item, candidate answers, and scoring.

A task is a plugin. What it may show to detectors and annotators is the prompt; the gold answer
stays inside the task.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from sys import float_info
from typing import Any, NamedTuple, Protocol, runtime_checkable

from saetask.errors import UserError
from saetask.prompts import Prompt


@dataclass(frozen=True)
class Item:
    """One question of a task."""

    id: str
    group: str
    """Items of one group (a verb, a problem template) never stand on both sides of a split."""
    question: dict[str, Any]
    """What may be shown."""
    gold: Any = field(repr=False, default=None)
    """What only scoring, fitting and the `oracle` arm may see."""


class Candidate(NamedTuple):
    """A possible answer, as the text that follows the prompt's answer prefix."""

    text: str
    reading: str
    """The reading of the prompt that this answer stands for."""


class Score(NamedTuple):
    """An output, judged."""

    parsed: str | None
    """The answer found in the output; None when there is none."""
    correct: bool
    flexible_correct: bool | None = None
    """For generated outputs: judged by the looser of two ways to find the answer."""


@runtime_checkable
class Task(Protocol):
    """What a task plugin provides."""

    name: str
    readings: Sequence[str]
    """The ways a prompt of this task can be read; a detector chooses among them."""
    annotators: Sequence[str]
    """Names of the annotators that can write notes for this task."""

    def items(self, data: Path | None = None) -> list[Item]:
        """Returns the built-in items, or those of a file in the task's item format."""
        ...

    def prompt(self, item: Item) -> Prompt:
        """Returns the prompt; its spans name the `text` that is read and, if any, the `target`."""
        ...

    def candidates(self, item: Item) -> list[Candidate] | None:
        """Returns the answers to rank, or None when the answer must be generated."""
        ...

    def score(self, item: Item, output: str) -> Score:
        """Judges an output: a candidate's text, or what the model generated."""
        ...

    def gold_reading(self, item: Item) -> str | None:
        """Returns the right reading, or None when no reading leads to the gold answer."""
        ...

    def question_from_text(self, text: str, target: str | None) -> Item:
        """Returns an item without gold for a user's own text."""
        ...


class SecondQuestion(NamedTuple):
    """Another question about an item, which a note on the first question does not answer."""

    prompt: Prompt
    """It has the spans of the first question's prompt, so that the same note can be placed."""
    candidates: list[Candidate] | None
    """The answers to rank; None when the answer must be generated."""


@runtime_checkable
class AsksTwice(Protocol):
    """What a task provides, besides `Task`, that can ask a second question about an item."""

    def second_question(self, item: Item) -> SecondQuestion | None:
        """Returns the second question, or None where the item has none."""
        ...

    def score_second(self, item: Item, output: str) -> Score:
        """Judges an output to the second question: a candidate's text, or a generated one."""
        ...


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
