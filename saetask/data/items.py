"""Item files: JSONL rows validated by pydantic models."""

import difflib
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

from saetask.data.evaluation_logs import log_file_kind, log_kind
from saetask.data.tasks import Item, name_text
from saetask.errors import UserError
from saetask.utils.files import parse_json, read_lines
from saetask.utils.validation import validate


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError(f"expected a non-empty string, found {text!r}")
    return text


def _number_as_text(value: object) -> object:
    return value if isinstance(value, str) else name_text(value) or value


Text = Annotated[str, AfterValidator(_not_blank)]
"""A string that holds more than blanks; it is kept as it stands."""
Name = Annotated[Text, BeforeValidator(_number_as_text)]
"""A name: a string, or a number that is taken as its text; 1.0 is 1."""


NEARLY_EQUAL = 0.75
"""Least similarity, as of `difflib`, of a misspelt key: two letters of six swapped, or one more."""


class Row(BaseModel):
    """A row of a data file. Fields beside the declared ones are ignored; types are strict."""

    model_config = ConfigDict(
        frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class SpeltRow(Row):
    """A row in which no key is misspelt."""

    @model_validator(mode="before")
    @classmethod
    def _has_no_misspelt_key(cls, row: object) -> object:
        """Refuses a key that is nearly the name of a field which the row lacks."""
        if isinstance(row, dict):
            absent = [name for name in cls.model_fields if name not in row]
            for key in sorted(row.keys() - cls.model_fields.keys()):
                spelt = key.strip().lower()
                if close := difflib.get_close_matches(spelt, absent, n=1, cutoff=NEARLY_EQUAL):
                    raise ValueError(f"key {key!r} is not known. Did you mean '{close[0]}'?")
        return row


class ItemRow(SpeltRow):
    """Fields of every row of an item file."""

    id: Name
    """Unique in the file."""
    group: Name | None = None
    """Items of one group never stand on both sides of a split; by default, the task's choice."""

    def group_or(self, default: str) -> str:
        """Returns the row's group, or another one where the row names none."""
        return default if self.group is None else self.group


class PromptRow(SpeltRow):
    """A row of a file of prompts, which have no gold answers."""

    prompt: Text
    target: Text | None = None
    """The word in question, for tasks that ask about one."""
    task: Text | None = None
    """Name of the row's task plugin; by default, that of the command line."""


RowType = TypeVar("RowType", bound=Row)
ItemRowType = TypeVar("ItemRowType", bound=ItemRow)


def read_rows(path: Path, longest: int | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the objects of a `.jsonl` or `.jsonl.gz` file with their line numbers.

    Blank lines are passed over; `longest` is the maximum number of bytes of a line.

    Raises:
        UserError: The file is missing, empty or damaged, is a table or one JSON document instead,
            or a line is no JSON object.
    """
    if not path.is_file():
        what = "is a folder; give a file" if path.is_dir() else "does not exist"
        raise UserError(f"Data file {path} {what}.")
    is_empty = True
    for number, line in read_lines(path, longest=longest):
        if is_empty:
            _check_first_line(line.strip(), path)
        is_empty = False
        row = parse_json(line.strip(), f"{path}:{number}")
        if not isinstance(row, dict):
            raise UserError(f"{path}:{number}: expected a JSON object.")
        yield number, row
    if is_empty:
        raise UserError(f"Data file {path} is empty; it needs one JSON object a line.")


def _check_first_line(line: str, path: Path) -> None:
    """Refuses a file whose first line shows that it is of another kind, with what it is."""
    needed = "it needs JSON Lines, one object a line"
    suffix = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if suffix in ("csv", "tsv") or re.fullmatch(r'"?\w[\w "]*([,;\t][\w "]*)+', line):
        raise UserError(f"{path} is CSV or another table; {needed}, a key a column.")
    if line in ("[", "[{") or (line.startswith("[{") and line.endswith(("}]", "},", ","))):
        raise UserError(f"{path} is one JSON array; {needed}, as by `jq -c '.[]' {path}`.")
    if line == "{":
        raise UserError(f"{path} has JSON objects of several lines; {needed}, as by `jq -c .`.")


def read_validated_rows(path: Path, row_type: type[RowType]) -> Iterator[tuple[int, RowType]]:
    """Yields the rows of a file as instances of a model, with their line numbers.

    Raises:
        UserError: The file can not be read, or a row does not fit (file, line and field are named).
    """
    for number, row in read_rows(path):
        yield number, validate(row_type, row, f"{path}:{number}")


def read_items(
    path: Path, row_type: type[ItemRowType], make_item: Callable[[ItemRowType], Item]
) -> list[Item]:
    """Reads an item file.

    Args:
        path: A `.jsonl` or `.jsonl.gz` file.
        row_type: The model of its rows.
        make_item: Makes an item of a row.

    Raises:
        UserError: The file can not be read, a row does not fit (file, line and field are named),
            an id occurs twice, or the file is a log of an evaluation.
    """
    items: dict[str, Item] = {}
    needed = {name for name, field in row_type.model_fields.items() if field.is_required()}
    if path.is_file() and (kind := log_file_kind(path)):
        raise _log_error(f"{path}", kind, needed)
    for number, values in read_rows(path):
        if not values.keys() >= needed and (kind := log_kind(values)):
            raise _log_error(f"{path}:{number}", kind, needed)
        item = make_item(validate(row_type, values, f"{path}:{number}"))
        if item.id in items:
            raise UserError(f"{path}:{number}: field 'id': '{item.id}' occurs twice.")
        items[item.id] = item
    return list(items.values())


def _log_error(where: str, kind: str, needed: Collection[str]) -> UserError:
    fields = ", ".join(sorted(needed, key=lambda name: (name != "id", name)))
    return UserError(
        f"{where}: this is {kind}, not an item file. `saetask discover` reads it; for this, write "
        f"its questions as items, one JSON object a line; an item of this task needs {fields}."
    )
