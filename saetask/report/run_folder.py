"""Reading and checking the files of a run folder."""

from dataclasses import dataclass
from pathlib import Path

from saetask.errors import UserError
from saetask.report.documents import Environment, read_document
from saetask.report.item_comparison import Items, read_items
from saetask.report.summary import Summary, read_summary
from saetask.utils.files import read_text


@dataclass(frozen=True)
class RunFolder:
    """Contents of a run folder."""

    name: str
    """Name of the folder."""
    summary: Summary
    items: Items
    config: str
    """Text of `config.yaml`."""
    environment: Environment


DISCOVERIES = "discoveries.jsonl"
"""What a folder of `saetask discover` holds, and no run folder."""


def read_run_folder(folder: Path) -> RunFolder:
    """Reads a run folder.

    Raises:
        UserError: The folder or one of its files is missing or damaged.
    """
    if not folder.is_dir():
        raise UserError(f"Run folder {folder} does not exist. Give one that `saetask run` wrote.")
    if (folder / DISCOVERIES).is_file():
        raise UserError(
            f"{folder} is no run but a discovery; its page is {folder / 'report.html'}, and "
            f"`saetask explore --discovery {folder}` shows it."
        )
    written = {path.name for path in folder.iterdir()}
    if "config.yaml" in written and not written & {"summary.json", "items.jsonl"}:
        raise UserError(f"The run in {folder} is not finished; its command goes on from there.")
    try:
        summary = read_summary(folder / "summary.json")
        return RunFolder(
            name=folder.resolve().name,
            summary=summary,
            items=read_items(folder / "items.jsonl", summary.baseline, summary.method),
            config=read_text(folder / "config.yaml"),
            environment=read_document(Environment, folder / "environment.json"),
        )
    except UserError as error:
        mend = "Mend the file, or let `saetask run` write a new run folder."
        raise UserError(f"{error} {mend}") from error
