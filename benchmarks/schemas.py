"""The JSON schemas of the documents that users meet, generated from the classes that define them.

    python -m benchmarks.schemas [--check]

Writes one file for each entry of `DOCUMENTS` to `docs/schemas`. `--check` writes nothing and exits
with 1 if they differ from what would be written.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.pages import ROOT, execute, page_parser
from saetask.dictionary.falsify.document import Falsification
from saetask.dictionary.manifest import Manifest
from saetask.discovery.documents import DiscoveryRow, DiscoverySummary
from saetask.discovery.slices import Slice
from saetask.experiments.config import RunConfig
from saetask.experiments.run_identity import RunIdentity
from saetask.report.documents import Environment
from saetask.report.items import ItemRecord
from saetask.report.summary import Summary
from saetask.training.config import TrainConfig
from saetask.utils.files import write_text
from saetask_plugins.tasks.figurative_qa import FigurativeRow
from saetask_plugins.tasks.gsm8k import GSM8KRow
from saetask_plugins.tasks.metaphor import MetaphorRow
from saetask_plugins.tasks.multiple_choice import MultipleChoiceRow
from saetask_plugins.tasks.word_problems import WordProblemRow
from saetask_plugins.tasks.word_sense import WordSenseRow

COMMAND = "python -m benchmarks.schemas"
FOLDER = Path("docs/schemas")
DOCUMENTS = {
    "summary": Summary,
    "items": ItemRecord,
    "environment": Environment,
    "run-identity": RunIdentity,
    "dictionary-manifest": Manifest,
    "dictionary-falsification": Falsification,
    "discovery-summary": DiscoverySummary,
    "discovery-row": DiscoveryRow,
    "discovery-slice": Slice,
    "run-config": RunConfig,
    "train-config": TrainConfig,
    "task-figurative-qa": FigurativeRow,
    "task-gsm8k": GSM8KRow,
    "task-metaphor": MetaphorRow,
    "task-multiple-choice": MultipleChoiceRow,
    "task-word-problems": WordProblemRow,
    "task-word-sense": WordSenseRow,
}
"""Class of each document, a pydantic model or a dataclass, by the name of its schema."""


def documents() -> dict[Path, str]:
    """Returns the text of each schema, by path under the project's root."""
    return {FOLDER / f"{name}.json": schema(document) for name, document in DOCUMENTS.items()}


def schema(document: type) -> str:
    """Returns the JSON schema of a class as the text of a file."""
    from pydantic import ConfigDict, TypeAdapter

    # In a list, because a dataclass by itself takes no config.
    rules = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    made = TypeAdapter(list[document], config=rules).json_schema()
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    made = dialect | made["items"] | {"$defs": made["$defs"]}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def outdated(root: Path) -> list[Path]:
    """Returns the files that differ from what would be written, or are not generated."""
    wanted = documents()
    there = {path.relative_to(root) for path in (root / FOLDER).glob("*.json")}
    return sorted(
        path
        for path in wanted.keys() | there
        if path not in there or (root / path).read_text(encoding="utf-8") != wanted.get(path)
    )


def main(given: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Runs the command and returns its exit code."""
    arguments = page_parser(COMMAND, __doc__).parse_args(given)

    def write() -> None:
        for path, text in documents().items():
            write_text(root / path, text)

    return execute(COMMAND, arguments, lambda: outdated(root), write)


if __name__ == "__main__":
    sys.exit(main())
