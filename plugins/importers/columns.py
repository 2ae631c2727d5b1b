"""Rows of a table as evaluated items: which column is the prompt, the answer, the score."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from saetask import UserError
from saetask.data import EvaluatedItem, LogFields, Prompt, as_logged_prompt, as_score

COLUMN_FIELDS = (
    "prompt_field",
    "output_field",
    "correct_field",
    "target_field",
    "paraphrase_field",
    "id_field",
    "group_field",
    "as_chat",
)
"""The `LogFields` that tables take."""
DEFAULT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "prompt_field": ("prompt", "question", "input", "messages"),
    "output_field": ("output", "response", "prediction"),
    "correct_field": ("correct", "score", "acc"),
    "target_field": ("target", "gold", "reference"),
    "paraphrase_field": ("paraphrases",),
    "id_field": ("id",),
    "group_field": ("group",),
}
"""Names of columns that are taken where none is given: the first that there is."""

MOST_LISTED = 6
"""Maximum number of files that a message lists."""


class PlacedRow(NamedTuple):
    """A row of a table, and where it stands."""

    place: str
    number: int
    """Its number, from 1: the id of a row without one."""
    values: Mapping[str, Any]


def ends_with(log: str, *endings: str) -> bool:
    """Returns whether a log is a file whose name, less `.gz`, has one of some endings."""
    name = log.lower().removesuffix(".gz")
    return name.endswith(endings) and Path(log).expanduser().is_file()


def table_file(log: str) -> Path:
    """Returns the path of a log that is one file.

    Raises:
        UserError: It is a folder.
    """
    path = Path(log).expanduser()
    if path.is_dir():
        names = sorted(file.name for file in path.iterdir() if file.is_file())
        raise UserError(f"{log} is a folder; give one of its files: {_listed(names)}.")
    return path


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return (", ".join(names[:MOST_LISTED]) or "it has none") + more


def items_of_rows(rows: Iterable[PlacedRow], fields: LogFields) -> Iterator[EvaluatedItem]:
    """Yields the evaluated item of each row.

    Where no column holds the answer, an assistant's message at the end of the prompt's chat is it.

    Raises:
        UserError: A row lacks a column that was named, or its prompt; a value does not fit.
    """
    columns: dict[str, str] = {}
    all_names: dict[tuple[str, ...], tuple[str, ...]] = {}  # once in memory, not once a row
    for row in rows:
        # A column keeps its role once it was met: JSON Lines may leave out keys of single rows.
        for field in DEFAULT_COLUMNS.keys() - columns.keys():
            if name := _column(row, field, fields):
                columns[field] = name
        names = tuple(row.values)
        yield replace(_item(row, columns, fields), columns=all_names.setdefault(names, names))


def _column(row: PlacedRow, field: str, fields: LogFields) -> str | None:
    """Returns which column of a row has a role; None where it has none."""
    if name := getattr(fields, field):
        return name
    return next((name for name in DEFAULT_COLUMNS[field] if name in row.values), None)


def _item(row: PlacedRow, columns: Mapping[str, str], fields: LogFields) -> EvaluatedItem:
    values = {field: row.values.get(name) for field, name in columns.items()}
    for field, name in columns.items():
        if name not in row.values and (getattr(fields, field) or field == "prompt_field"):
            raise _no_column(row, field, f"no column '{name}'")
    if "prompt_field" not in columns:
        raise _no_column(row, "prompt_field", "no column for the prompt")
    where = f"{row.place}, column '{{}}'".format
    prompt = as_logged_prompt(
        values["prompt_field"], where(columns["prompt_field"]), fields.as_chat
    )
    if "output_field" in columns:
        output, *samples = _answers(values["output_field"], where(columns["output_field"]))
    else:
        output, samples = "", []
        if isinstance(prompt, Prompt) and prompt.answer_prefix:
            output, prompt = prompt.answer_prefix, Prompt(prompt.messages, spans=prompt.spans)
    name = _name(values.get("id_field"), str(row.number), where(columns.get("id_field")))
    group = _name(values.get("group_field"), name, where(columns.get("group_field")))
    score = as_score(values.get("correct_field"), where(columns.get("correct_field")))
    target = values.get("target_field")
    others = values.get("paraphrase_field")
    rest = {key: value for key, value in row.values.items() if key not in columns.values()}
    return EvaluatedItem(
        name,
        prompt,
        output,
        score,
        group,
        tuple(samples),
        _short(rest),
        row.place,
        None if target is None else _text(target, where(columns["target_field"])),
        paraphrases=()
        if others is None
        else _paraphrases(others, where(columns["paraphrase_field"])),
    )


def _no_column(row: PlacedRow, field: str, problem: str) -> UserError:
    others, flag = ", ".join(row.values) or "none", f"--{field.replace('_', '-')}"
    return UserError(f"{row.place}: {problem}; name one with {flag}. It has: {others}.")


def _answers(value: Any, place: str) -> list[str]:
    """Returns the answers in a cell, one or several."""
    answers = value if isinstance(value, list) and value else [value]
    return [_text(answer, place) for answer in answers]


def _paraphrases(value: Any, place: str) -> tuple[str, ...]:
    """Returns the texts in a cell: a list, a list as JSON (in tables of texts), or one text."""
    if isinstance(value, str) and value.lstrip().startswith('["'):
        try:
            value = json.loads(value)
        except ValueError:
            return (value,)
    texts = value if isinstance(value, list) else [value]
    return tuple(text for each in texts if (text := _text(each, place)).strip())


def _text(value: Any, place: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str | int | float):
        return str(value)
    raise UserError(f"{place}: expected a text, found {type(value).__name__} {value!r:.60}.")


def _name(value: Any, default: str, place: str) -> str:
    return _text(value, place).strip() or default


def _short(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values that are numbers or short texts: the others would hold the log."""
    kinds = bool | int | float
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, kinds) or (isinstance(value, str) and len(value) <= 200)
    }
