"""The keys of configs as rows of a table: name, values, default, and what the docstring says."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks.schemas import schema

TYPES = {
    "integer": "whole number",
    "string": "text",
    "boolean": "true or false",
    "object": "keys",
    "null": "null",
}


class Key(NamedTuple):
    """A key of a config."""

    name: str
    """With the keys that it is below: `harvest.corpus.seed`."""
    values: str
    """Type and range of its values."""
    default: str
    """Its default as JSON; empty if it has none."""
    description: str


def config_keys(config: type, ranges: Mapping[str, object] = {}) -> list[Key]:
    """Returns every key of a config dataclass, with the docstring of its attribute.

    Args:
        config: The dataclass.
        ranges: Ranges of values, by key, in place of the type.
    """
    made = json.loads(schema(config))
    return list(_keys(made, made["$defs"][config.__name__], "", ranges))


def _keys(
    made: Mapping[str, Any], part: Mapping[str, Any], prefix: str, ranges: Mapping[str, object]
) -> Iterator[Key]:
    for name, entry in part["properties"].items():
        key = prefix + name
        reference = entry.get("$ref") or entry.get("items", {}).get("$ref")
        if reference:
            dots = "[]." if "items" in entry else "."
            yield from _keys(made, made["$defs"][reference.rpartition("/")[2]], key + dots, ranges)
            continue
        default = json.dumps(entry["default"]) if "default" in entry else ""
        values = str(ranges[key]).removeprefix("a ") if key in ranges else _values(entry)
        yield Key(key, values, default, entry["description"])


def _values(entry: Mapping[str, Any]) -> str:
    """Returns what a key takes, in words."""
    if "enum" in entry:
        return ", ".join(entry["enum"])
    if "anyOf" in entry:
        return " or ".join(map(_values, entry["anyOf"]))
    kind = entry.get("type", "text")
    if kind == "array":
        return f"list of {_values(entry['items'])}"
    return "path" if entry.get("format") == "path" else TYPES.get(kind, kind)
