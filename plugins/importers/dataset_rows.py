"""Logs as data sets of the library `datasets`, with columns named by flags."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from saetask import UserError
from saetask.data import EvaluatedItem, LogFields

from .columns import COLUMN_FIELDS, PlacedRow, items_of_rows

FOLDER_FILES = ("dataset_dict.json", "state.json")
"""A folder that `save_to_disk` wrote has one of these."""


class DatasetRows:
    """A folder that `datasets` saved, a .parquet file, or the name of a data set on the hub."""

    name = "datasets"
    fields = (*COLUMN_FIELDS, "hub_split")

    def recognises(self, log: str) -> bool:
        """Returns whether a log is a saved folder or a Parquet file; a hub name if no path."""
        path = Path(log).expanduser()
        if path.is_dir():
            return any((path / name).is_file() for name in FOLDER_FILES)
        return path.suffix.lower() == ".parquet" or not path.exists()

    def read(self, log: str, fields: LogFields) -> Iterator[EvaluatedItem]:
        """Yields the item of each row; files are mapped into memory, hub data sets streamed.

        Raises:
            UserError: It can not be opened, or has several splits and none is named.
        """
        rows = enumerate(_open(log, fields.hub_split), 1)
        return items_of_rows((PlacedRow(f"{log}, row {n}", n, row) for n, row in rows), fields)


def _open(log: str, split: str | None) -> Iterator[Mapping[str, Any]]:
    """Yields the rows of a data set."""
    import datasets

    path = Path(log).expanduser()
    try:
        if path.is_dir():
            data = datasets.load_from_disk(path)
        elif path.exists():
            files = {"data_files": str(path), "split": "train", "streaming": True}
            data, split = datasets.load_dataset("parquet", **files), None
        else:
            data, split = datasets.load_dataset(log, split=split or "train", streaming=True), None
    except Exception as error:  # of pyarrow, fsspec, huggingface_hub, ...
        reason = " ".join(str(error).split())[:240]
        raise UserError(f"Cannot read the data set {log}: {reason}") from error
    if isinstance(data, datasets.DatasetDict):
        names = list(data)
        if split is None and len(names) == 1:
            (split,) = names
        if split not in names:
            raise UserError(f"{log} has the splits {', '.join(names)}; name one with --hub-split.")
        data = data[split]
    elif split is not None:
        raise UserError(f"{log} has no splits; leave --hub-split out.")
    yield from data
