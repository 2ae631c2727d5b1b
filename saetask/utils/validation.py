"""Validation of JSON values by pydantic models, with errors of one line."""

import re
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from saetask.errors import UserError

M = TypeVar("M", bound=BaseModel)
REASONS = {
    "missing": "is missing",
    "extra_forbidden": "is not a known key",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
}
"""Wording of those pydantic errors whose own text speaks of Python classes."""


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
        raise UserError(f"{where}: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """Returns the first field of a validation error, and its reason, as one line."""
    first = error.errors(include_url=False)[0]
    message = re.sub("^(Value error, )?(Input|Value) should", "must", first["msg"])
    reason = REASONS.get(first["type"], message.removeprefix("Value error, "))
    field = ".".join(map(str, first["loc"]))
    return " ".join((f'"{field}" {reason}.' if field else f"the document {reason}.").split())
