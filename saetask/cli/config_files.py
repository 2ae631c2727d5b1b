"""Reading YAML files as config dataclasses."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from saetask.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

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
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{what} {path}: {' '.join(str(error).split())}") from error
    if not isinstance(values := {} if values is None else values, dict):
        raise UserError(f"{what} {path}: expected KEY: VALUE lines, found {values!r:.60}.")
    rules = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    try:
        checked = TypeAdapter(dataclass(config, frozen=True, config=rules)).validate_python(values)
    except ValidationError as error:
        # A misspelt key is told before the key that is missing for it.
        first = min(error.errors(), key=lambda details: details["type"] != UNKNOWN_KEY)
        raise UserError(f"{what} {path}: {_reason(first, config)}") from error
    names = [field.name for field in dataclasses.fields(config)]  # pyright: ignore
    return config(**{name: getattr(checked, name) for name in names})


def _reason(error: "ErrorDetails", config: Any) -> str:
    """Returns where a config is wrong and why, in a line."""
    place = ".".join(map(str, error["loc"]))
    if error["type"] == UNKNOWN_KEY:
        known = [field.name for field in dataclasses.fields(config)]
        hint = did_you_mean(place, known) if len(error["loc"]) == 1 else ""
        return f"unknown key '{place}'.{hint}"
    reason = error["msg"][0].lower() + error["msg"][1:]
    return f"'{place}': {reason}."
