"""The results page and README's table, generated from the summaries of the runs that count.

    python -m benchmarks.results RUN_DIR ... [--names NAME,NAME ...]
    python -m benchmarks.results --check

Copies the `summary.json` of each run folder to `docs/runs/NAME.json` (NAME is the folder's, if none
is given; of absolute paths in it only the last part is kept) and writes `docs/results.md`, and
README's table between its markers, from all summaries in `docs/runs`. Without a RUN_DIR the two are
written anew. `--check` writes nothing and exits with 1 if they differ from what would be written.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pages import ROOT, environment, execute, page_parser
from saetask.errors import UserError
from saetask.experiments.arms import ARMS, arm_names
from saetask.report import numbers, sentences
from saetask.report.figures import Auroc
from saetask.report.render import SCORE_DESCRIPTIONS
from saetask.report.seed_spread import ArmSpread
from saetask.report.summary import Summary, read_summary
from saetask.utils.files import write_json, write_text
from saetask.utils.statistics import holm

COMMAND = "python -m benchmarks.results"
RUNS, PAGE, README = Path("docs/runs"), Path("docs/results.md"), Path("README.md")
BEGIN, END = "<!-- results -->", "<!-- /results -->"
CREDITED = [arm.spec.name for arm in ARMS if arm.spec.in_sae_credit]
"""Controls that finding credit is taken to."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class Run:
    """A run as the page names it."""

    name: str
    summary: Summary

    @property
    def fitted_on(self) -> str:
        """The data that the detectors were fitted on."""
        auxiliary = max((fold.n_borrowed for fold in self.summary.selection.folds), default=0)
        built_in = f" and up to {auxiliary} built-in items" if auxiliary else ""
        return (self.summary.fit_data or "other folds") + built_in

    @property
    def detection(self) -> dict[str, Auroc]:
        """The scores that tell wrong answers, by name."""
        return self.summary.detection.measured

    @property
    def reading_detection(self) -> dict[str, Auroc]:
        """The scores that tell the right reading, by name."""
        return self.summary.reading_detection.measured

    @property
    def spread(self) -> dict[str, ArmSpread]:
        """Accuracies over seeds, by arm; empty if there was one seed."""
        return self.summary.seeds.arms if self.summary.seeds else {}


def add_runs(folders: Sequence[Path], names: Sequence[str], root: Path) -> None:
    """Copies the summaries of run folders, after all of them were found readable.

    Raises:
        UserError: A summary is missing or damaged, or the names do not fit.
    """
    names = names or [folder.resolve().name for folder in folders]
    if len(names) != len(folders) or len(set(names)) != len(names):
        raise UserError(
            f"--names: {len(set(names))} different names for {len(folders)} run folders; give each "
            "one of its own, divided by commas."
        )
    for name in names:
        if not NAME.fullmatch(name):
            raise UserError(f"Name {name!r}: use letters, digits and - _ . + only (--names).")
    for folder in folders:
        read_summary(folder / "summary.json")
    for folder, name in zip(folders, names, strict=True):
        document = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        write_json(root / RUNS / f"{name}.json", without_folders(document))


def without_folders(value: Any) -> Any:
    """Returns a JSON value in which absolute paths are cut to their last part."""
    if isinstance(value, dict):
        return {name: without_folders(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [without_folders(entry) for entry in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value


def documents(root: Path) -> dict[Path, str]:
    """Returns the files as they should be, by path under `root`; none if there are no runs.

    Raises:
        UserError: A summary is damaged, or README lacks the markers.
    """
    paths = sorted((root / RUNS).glob("*.json"))
    if not paths:
        return {}
    runs = [Run(path.stem, read_summary(path)) for path in paths]
    runs.sort(key=lambda run: (run.summary.experiment, run.name))
    made = environment()
    made.globals |= {"numbers": numbers, "sentences": sentences}
    made.globals |= {"in_order": in_order}
    made.globals |= {"score_names": score_names, "credited": CREDITED}
    made.globals |= {"over_runs": corrected_over_runs(runs)}
    page = made.get_template("results.md.jinja").make_module({"runs": runs})
    table = str(page.readme(runs))
    readme = (root / README).read_text(encoding="utf-8")
    return {PAGE: str(page).strip() + "\n", README: with_table(readme, table)}


def corrected_over_runs(runs: Iterable[Run]) -> dict[tuple[str, str], float]:
    """Returns Holm's p-value of saetask against each control, over all controls of all runs.

    A control that is compared in several runs has as many chances to differ.

    Returns:
        By name of the run and of the control.
    """
    p_values = {
        (run.name, control): change.mcnemar_p
        for run in runs
        for control, change in run.summary.against.items()
    }
    numbered = {str(number): p for number, p in enumerate(p_values.values())}
    return dict(zip(p_values, holm(numbered).values()))


def in_order(collections: Iterable[Iterable[str]]) -> list[str]:
    """Returns the arms that any of the collections has, in the order of the table of arms."""
    names = {name: None for collection in collections for name in collection}
    places = {name: place for place, name in enumerate(arm_names())}
    return sorted(names, key=lambda name: places.get(name, len(places)))


def score_names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns the scores that any of the mappings has: saetask, then the known, then the others."""
    names = {name: None for mapping in mappings for name in mapping}
    places = {name: place for place, name in enumerate(["saetask", *SCORE_DESCRIPTIONS])}
    return sorted(names, key=lambda name: places.get(name, len(places)))


def with_table(readme: str, table: str) -> str:
    """Returns README with the text between its markers replaced.

    Raises:
        UserError: It does not have each marker once, in order.
    """
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in tail:
        raise UserError(f"{README}: expected '{BEGIN}' and then '{END}', once each; put them back.")
    return f"{head}{BEGIN}\n\n{table.strip()}\n\n{END}{tail}"


def outdated(root: Path) -> list[Path]:
    """Returns the files that differ from what would be written."""
    wanted = documents(root).items()
    return [
        path
        for path, text in wanted
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]


def main(given: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Runs the command and returns its exit code."""
    parser = page_parser(COMMAND, __doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="RUN_DIR")
    parser.add_argument("--names", default="")
    arguments = parser.parse_args(given)

    def write() -> None:
        names = [name for name in arguments.names.split(",") if name]
        add_runs(arguments.folders, names, root)
        for path, text in documents(root).items():
            write_text(root / path, text)

    return execute(COMMAND, arguments, lambda: outdated(root), write)


if __name__ == "__main__":
    sys.exit(main())
