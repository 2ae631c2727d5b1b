"""Reading YAML files as config dataclasses."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from saetask.errors import UserError, did_you_mean
from saetask.utils.files import read_text

if TYPE_CHECKING:
    import yaml
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
        values = yaml.load(read_text(path), Loader=_loader_of_unique_keys())
    except yaml.YAMLError as error:
        raise UserError(f"{what} {path}: {' '.join(str(error).split())}") from error
    if not isinstance(values := {} if values is None else values, dict):
        raise UserError(f"{what} {path}: expected KEY: VALUE lines, found {values!r:.60}.")
    rules = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    _refuse_booleans(values, config, f"{what} {path}")
    try:
        checked = TypeAdapter(dataclass(config, frozen=True, config=rules)).validate_python(values)
    except ValidationError as error:
        raise UserError(f"{what} {path}: {_reason(error, config)}") from error
    names = [field.name for field in dataclasses.fields(config)]  # pyright: ignore
    return config(**{name: getattr(checked, name) for name in names})


def _loader_of_unique_keys() -> "type[yaml.SafeLoader]":
    """Returns yaml's safe loader, but one that refuses a key given twice.

    YAML forbids it; yaml's own loader keeps the last value without a word.
    """
    import yaml

    class UniqueKeyLoader(yaml.SafeLoader):
        # Keys are compared as written: later, those of a merge (`<<`) stand among them.
        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            node: Any = super().compose_mapping_node(anchor)
            keys = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in keys:
                    line = key.start_mark.line + 1
                    raise yaml.YAMLError(f"key '{key.value}' is given twice (line {line}).")
                keys.add((key.tag, str(key.value)))
            return node

    return UniqueKeyLoader


def _refuse_booleans(values: dict[str, Any], config: Any, where: str, parents: str = "") -> None:
    """Refuses true and false where a config has a number; pydantic would take 1 and 0.

    Raises:
        UserError: There is one.
    """
    from saetask.utils.validation import is_number

    hints = get_type_hints(config)
    for key, value in values.items():
        if isinstance(value, bool) and is_number(hints.get(key)):
            raise UserError(f"{where}: key '{parents}{key}': expected a number, found {value}.")
        for part, inner in _parts(hints.get(key), value):
            for entry in part:
                if isinstance(entry, dict):
                    _refuse_booleans(entry, inner, where, f"{parents}{key}.")


def _parts(hint: Any, value: Any) -> Iterator[tuple[list[Any], Any]]:
    """Yields the values of a key that are configs themselves, with their class."""
    for kind in (hint, *get_args(hint)):
        if dataclasses.is_dataclass(kind):
            yield (value if isinstance(value, list) else [value]), kind


def _keys_within(config: Any, parents: Sequence[int | str]) -> list[str]:
    """Returns the keys of a config, or of the one below it that `parents` lead to."""
    for parent in parents:
        if isinstance(parent, str):
            (_, config), *_ = [*_parts(get_type_hints(config).get(parent), None), (None, None)]
    return [field.name for field in dataclasses.fields(config)] if config else []


def _reason(error: "ValidationError", config: Any) -> str:
    """Returns where a config is wrong and why, in a line."""
    from saetask.utils.validation import first_problem

    for details in error.errors():
        if details["type"] == UNKNOWN_KEY:  # reported before the key that is missing for it
            *parents, key = details["loc"]
            hint = did_you_mean(str(key), _keys_within(config, parents))
            return f"unknown key '{'.'.join(map(str, details['loc']))}'.{hint}"
    problem = first_problem(error)
    return f"key '{problem.field}': {problem.reason}"
