"""The page on training an SAE: every key of a recipe, and how well the check of SAEs decides.

    python -m benchmarks.training [--check]

Writes `docs/training.md` from the dataclasses of a recipe, from `docs/sae_check.json`, which
`python -m benchmarks.sae_check` measures, and from `docs/sae_search.json`, which `python -m
benchmarks.sae_search` does. `--check` writes nothing and exits with 1 if the page differs from what
would be written.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import beta

from benchmarks.config_keys import Key, config_keys
from benchmarks.pages import ROOT, environment, execute, page_parser
from benchmarks.sae_search import KS, table
from saetask.training.config import ARCHITECTURES, TrainConfig
from saetask.training.recipe import OPTION_RANGES, RANGES, architecture_options
from saetask.utils.files import write_text

COMMAND = "python -m benchmarks.training"
PAGE, MEASURED = Path("docs/training.md"), Path("docs/sae_check.json")
SEARCH = Path("docs/sae_search.json")


def recipe_keys() -> list[Key]:
    """Returns every key of a training recipe, with the docstring of its attribute."""
    return config_keys(TrainConfig, RANGES)


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
