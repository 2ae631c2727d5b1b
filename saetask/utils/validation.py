"""Validation of JSON values by pydantic models, with errors of one line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError

from saetask.errors import UserError

M = TypeVar("M", bound=BaseModel)
C = TypeVar("C")
LONGEST_SHOWN = 80
"""Characters of a value in an error line."""
REASONS = {
    "missing": "it is missing.",
    "extra_forbidden": "it is not a known key.",
    "model_type": "expected a JSON object.",
    "dict_type": "expected a JSON object.",
    "json_invalid": "it is not valid JSON.",
    "string_too_short": "it must have {min_length} characters or more.",
    "string_too_long": "it may have {max_length} characters at most.",
    "too_short": "it must have {min_length} entries or more.",
    "too_long": "it may have {max_length} entries at most.",
}
"""Reasons that pydantic's own texts give in the words of Python classes, by type of error."""


def validate(model: type[M], value: object, where: Path | str) -> M:
    """Returns a JSON value as an instance of a model.

    Args:
        model: The pydantic model of the value.
        value: The parsed JSON value.
        where: File, and line where there is one, for the error message: `items.jsonl:12`.

    Raises:
        UserError: The value does not fit; the place, the first such field and the reason are named.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        field, reason = first_problem(error)
        place = f"field '{field}': " if field else ""
        raise UserError(" ".join(f"{where}: {place}{reason}".split())) from error


class FieldProblem(NamedTuple):
    """A field of a document, and the reason why it is invalid."""

    field: str
    """Name of the field; empty if the value as a whole does not fit."""
    reason: str
    """A sentence; it begins with the place inside the field, if there is one."""

    @property
    def line(self) -> str:
        """Field and reason."""
        return ": ".join(filter(None, self))


def first_problem(error: ValidationError) -> FieldProblem:
    """Returns the first field that does not fit, and why, as a sentence."""
    return plain_problem({**error.errors(include_url=False)[0]})


def plain_problem(problem: Mapping[str, Any]) -> FieldProblem:
    """Returns one of pydantic's errors, as it lists them, in plain words."""
    if problem["type"] in REASONS:
        reason = REASONS[problem["type"]].format_map(problem.get("ctx", {}))
    elif problem["type"] == "value_error":
        reason = str(problem["ctx"]["error"])
        reason += "" if reason.endswith((".", "?")) else "."
    else:
        expected = problem["msg"].replace("Input should be", "expected", 1)
        shown = repr(problem["input"])
        shown = shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]} ..."
        reason = f"{expected}, found {shown}."
    field, *inside = (str(part) for part in problem["loc"]) if problem["loc"] else ("",)
    place = f"'{'.'.join(inside)}': " if inside else ""
    return FieldProblem(field, place + reason)


def typed(config: type[C], values: Mapping[str, Any], owner: str) -> C:
    """Returns a config dataclass with its values converted to the types of its fields.

    Args:
        config: The dataclass.
        values: Values of its fields, by name.
        owner: What the options belong to, for the error message: `of a run`.

    Raises:
        UserError: A value does not fit; its option is named.
    """
    hints = get_type_hints(config)
    for name, value in values.items():
        if isinstance(value, bool | str) and is_number(hints.get(name)):
            raise UserError(f"Option '{name}' {owner}: expected a number, found {value!r}.")
    try:
        return TypeAdapter(config).validate_python(dict(values))
    except ValidationError as error:
        field, reason = first_problem(error)
        raise UserError(f"Option '{field}' {owner}: {reason}") from error


def is_number(hint: Any) -> bool:
    """Returns whether a field is a number; pydantic would take true, false and "1"."""
    kinds = {hint, *get_args(hint)}
    return bool(kinds & {int, float}) and bool not in kinds
