"""Reading YAML files as config dataclasses."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from saetask.errors import UserError, did_you_mean
from saetask.utils.files import read_text

if TYPE_CHECKING:
    from pydantic import ValidationError

Config = TypeVar("Config")

UNKNOWN_KEY = "unexpected_keyword_argument"
"""Pydantic's type of error for a key that a dataclass does not have."""


def read_config(path: Path, config: type[Config], what: str) -> Config:
    """Reads a YAML file as a config.

    Args:
        path: The file.
        config: The dataclass of the config.
        what: What an error calls the file.

    Raises:
        UserError: The file is missing or does not fit the dataclass.
    """
    import yaml
    from pydantic import ConfigDict, TypeAdapter, ValidationError
    from pydantic.dataclasses import dataclass

    if not path.is_file():
        raise UserError(f"{what} {path} does not exist.")
    try:
        values = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise UserError(f"{what} {path}: {' '.join(str(error).split())}") from error
    if not isinstance(values := {} if values is None else values, dict):
        raise UserError(f"{what} {path}: expected KEY: VALUE lines, found {values!r:.60}.")
    rules = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    try:
        checked = TypeAdapter(dataclass(config, frozen=True, config=rules)).validate_python(values)
    except ValidationError as error:
        raise UserError(f"{what} {path}: {_reason(error, config)}") from error
    names = [field.name for field in dataclasses.fields(config)]  # pyright: ignore
    return config(**{name: getattr(checked, name) for name in names})


def _reason(error: "ValidationError", config: Any) -> str:
    """Returns where a config is wrong and why, in a line."""
    from saetask.utils.validation import first_problem

    for details in error.errors():
        if details["type"] == UNKNOWN_KEY:  # reported before the key that is missing for it
            key = ".".join(map(str, details["loc"]))
            known = [field.name for field in dataclasses.fields(config)]
            hint = did_you_mean(key, known) if len(details["loc"]) == 1 else ""
            return f"unknown key '{key}'.{hint}"
    problem = first_problem(error)
    return f"key '{problem.field}': {problem.reason}"
