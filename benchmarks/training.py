"""The page on training an SAE: every key of a recipe, and how well the check of SAEs decides.

    python -m benchmarks.training [--check]

Writes `docs/training.md` from the dataclasses of a recipe, from `docs/sae_check.json`, which
`python -m benchmarks.sae_check` measures, and from `docs/sae_search.json`, which `python -m
benchmarks.sae_search` does. `--check` writes nothing and exits with 1 if the page differs from what
would be written.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import beta

from benchmarks.pages import ROOT, environment, execute, page_parser
from benchmarks.sae_search import KS, table
from benchmarks.schemas import schema
from saetask.training.config import ARCHITECTURES, TrainConfig
from saetask.training.recipe import OPTION_RANGES, RANGES, architecture_options
from saetask.utils.files import write_text

COMMAND = "python -m benchmarks.training"
PAGE, MEASURED = Path("docs/training.md"), Path("docs/sae_check.json")
SEARCH = Path("docs/sae_search.json")
TYPES = {"integer": "whole number", "string": "text", "boolean": "true or false", "object": "keys"}


class Key(NamedTuple):
    """A key of a recipe."""

    name: str
    """With the keys that it is below: `harvest.corpus.seed`."""
    values: str
    """Type and range of its values."""
    default: str
    """Its default as JSON; empty if it has none."""
    description: str


def recipe_keys() -> list[Key]:
    """Returns every key of a training recipe, with the docstring of its attribute."""
    made = json.loads(schema(TrainConfig))
    return list(_keys(made, made["$defs"]["TrainConfig"], ""))


def _keys(made: dict[str, Any], part: dict[str, Any], prefix: str) -> Iterator[Key]:
    for name, entry in part["properties"].items():
        key = prefix + name
        reference = entry.get("$ref") or entry.get("items", {}).get("$ref")
        if reference:
            dots = "[]." if "items" in entry else "."
            yield from _keys(made, made["$defs"][reference.rpartition("/")[2]], key + dots)
            continue
        default = json.dumps(entry["default"]) if "default" in entry else ""
        yield Key(key, _values(key, entry), default, entry["description"])


def _values(key: str, entry: dict[str, Any]) -> str:
    if key in RANGES:
        return str(RANGES[key]).removeprefix("a ")
    if "enum" in entry:
        return ", ".join(entry["enum"])
    kind = entry.get("type", "text")
    return TYPES.get(kind, kind)


def option_rows() -> list[tuple[str, str, str, str]]:
    """Returns architecture, option, values and default of every option of the architectures."""
    return [
        (
            architecture,
            name,
            str(OPTION_RANGES.get(name, "1 to d_sae" if name == "k" else "")).removeprefix("a "),
            "" if default is None else json.dumps(default),
        )
        for architecture in ARCHITECTURES
        for name, default in architecture_options(architecture).items()
    ]


def page(root: Path) -> str:
    """Returns the page."""
    measured = json.loads((root / MEASURED).read_text(encoding="utf-8"))
    trials = measured["trials"]
    own = {trial["subject"]: trial["fvu"] for trial in trials if trial["fits"]}
    missed = [t["fvu"] / own[t["subject"]] for t in trials if not t["fits"] and not t["refused"]]
    search = json.loads((root / SEARCH).read_text(encoding="utf-8"))
    template = environment().get_template("training.md.jinja")
    return template.render(
        keys=recipe_keys(),
        search=search,
        search_ks=KS,
        search_table=table(search["saes"]),
        options=option_rows(),
        rows=measured["summary"],
        subjects=[*own],
        alarm_bound=beta.ppf(0.95, 1, len(own)),
        n_missed=len(missed),
        missed_ratios=np.quantile(missed, [0.5, 0.9, 1]),
    )


def main(given: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Runs the command and returns its exit code."""
    arguments = page_parser(COMMAND, __doc__).parse_args(given)

    def outdated() -> list[Path]:
        written = root / PAGE
        text = written.read_text(encoding="utf-8") if written.is_file() else ""
        return [] if text == page(root) else [PAGE]

    return execute(COMMAND, arguments, outdated, lambda: write_text(root / PAGE, page(root)))


if __name__ == "__main__":
    sys.exit(main())
