"""The page with every key of the files that users write, but for training recipes.

    python -m benchmarks.keys [--check]

Writes `docs/keys.md` from the docstrings of the configs. `--check` writes nothing and exits with 1
if the page differs from what would be written.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.config_keys import Key, config_keys
from benchmarks.pages import ROOT, environment, execute, page_parser
from saetask.compute.config import ComputeConfig
from saetask.data.corpus import CorpusConfig
from saetask.data.importers import LogFields
from saetask.dictionary.collect.corpus_pass import BuildConfig
from saetask.dictionary.falsify.base import FalsifyConfig
from saetask.discovery.config import DiscoveryConfig
from saetask.experiments.config import RunConfig
from saetask.training.recipe import RANGES
from saetask.utils.files import write_text

COMMAND = "python -m benchmarks.keys"
PAGE = Path("docs/keys.md")


class Part(NamedTuple):
    """A section of the page."""

    title: str
    about: str
    keys: list[Key]


def parts() -> list[Part]:
    """Returns the sections: one for each config that users write."""
    ranges = {key.removeprefix("harvest.corpus."): values for key, values in RANGES.items()}
    build = [key for key in config_keys(BuildConfig) if not key.name.startswith("corpus.")]
    return [
        Part(
            "An experiment",
            "`saetask run FILE.yaml`. `config.yaml` of a run folder has them all, and can be run "
            "again; `saetask init experiment FILE.yaml` writes a file with comments.",
            config_keys(RunConfig),
        ),
        Part(
            "A corpus",
            "`saetask dictionary build --corpus FILE.yaml`; paths count from the file's folder. "
            "In a training recipe the same keys stand below `harvest.corpus`.",
            config_keys(CorpusConfig, ranges),
        ),
        Part("Building a dictionary", "Flags of `saetask dictionary build`.", build),
        Part("Falsifying", "Flags of `saetask dictionary falsify`.", config_keys(FalsifyConfig)),
        Part("A discovery", "Flags of `saetask discover`.", config_keys(DiscoveryConfig)),
        Part(
            "Fields of a log",
            "Flags of `saetask discover`, and `LogFields` of `saetask.read_log`: which column of "
            "an evaluation log holds what.",
            config_keys(LogFields),
        ),
        Part(
            "Where work runs", "Flags of commands that take `--engine`.", config_keys(ComputeConfig)
        ),
    ]


def page() -> str:
    """Returns the page."""
    return environment().get_template("keys.md.jinja").render(parts=parts()).rstrip() + "\n"


def main(given: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Runs the command and returns its exit code."""
    arguments = page_parser(COMMAND, __doc__).parse_args(given)
    written = root / PAGE

    def outdated() -> list[Path]:
        text = written.read_text(encoding="utf-8") if written.is_file() else ""
        return [] if text == page() else [PAGE]

    return execute(COMMAND, arguments, outdated, lambda: write_text(written, page()))


if __name__ == "__main__":
    sys.exit(main())
