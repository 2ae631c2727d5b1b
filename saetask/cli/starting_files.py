"""Files to start from: a commented experiment or recipe, and plugins."""

import dataclasses
import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from saetask.cli.parser import field_docstrings

PLUGIN_KINDS = ("task", "detector", "annotator", "labeler", "importer")
KINDS = ("experiment", "recipe", *PLUGIN_KINDS)
WIDTH = 96
PLUGINS = Path(__file__).parents[1] / "assets" / "starts"

EXPERIMENT = {"task": "metaphor"}
RECIPE = {
    "harvest": {
        "hook_name": "blocks.15.hook_resid_post",
        "tokens": 200_000,
        "corpus": {"sources": [{"path": "texts.jsonl"}]},
    },
    "d_sae": 2048,
    "options": {"k": 32},
    "samples": 1_000_000,
}
"""A small SAE: some minutes of training, enough to see whether the texts and the hook point do."""


def starting_text(kind: str) -> str:
    """Returns the content of a file to start from.

    Args:
        kind: One of `KINDS`.
    """
    if kind in PLUGIN_KINDS:
        return (PLUGINS / f"{kind}.py").read_text(encoding="utf-8")
    if kind == "experiment":
        from saetask.experiments.config import RunConfig

        lead = "An experiment: saetask run THIS_FILE. Flags given beside it win."
        return _document(lead, RunConfig, EXPERIMENT)
    from saetask.training.config import TrainConfig

    lead = "A recipe of an SAE: saetask train THIS_FILE. Paths count from this file's folder."
    return _document(lead, TrainConfig, RECIPE)


def _document(lead: str, config: type, given: Mapping[str, Any]) -> str:
    head = [
        f"# {lead}",
        "# Keys that begin with # have their default; take the # away to set them.",
    ]
    return "\n".join([*head, "", *_lines(config, given, "")]) + "\n"


def _lines(config: Any, given: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Yields the keys of a config as YAML, each below its docstring; defaults are commented out."""
    hints, explanations = get_type_hints(config), field_docstrings(config)
    for field in dataclasses.fields(config):
        yield from (f"{indent}# {line}" for line in _wrapped(explanations[field.name], indent))
        hint, value = hints[field.name], given.get(field.name)
        inner = next(filter(dataclasses.is_dataclass, (hint, *get_args(hint))), None)
        if value is not None and inner is not None:
            yield f"{indent}{field.name}:"
            for entry in value if isinstance(value, list) else [value]:
                lines = _lines(inner, entry, f"{indent}  ")
                yield from _as_entry(lines, indent) if isinstance(value, list) else lines
        elif value is not None:
            yield f"{indent}{field.name}: {json.dumps(value)}"
        else:
            yield f"{indent}#{field.name}: {json.dumps(_default(field))}"


def _as_entry(lines: Iterator[str], indent: str) -> Iterator[str]:
    """Yields the keys of a mapping as an entry of a list: a hyphen stands before the first key."""
    is_first = True
    for line in lines:
        is_key = not line.lstrip().startswith("#")
        yield f"{indent}  - {line.lstrip()}" if is_first and is_key else f"  {line}"
        is_first = is_first and not is_key


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH - len(indent), break_on_hyphens=False)


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
