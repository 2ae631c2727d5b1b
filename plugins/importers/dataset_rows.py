"""Logs as data sets of the library `datasets`, with columns named by flags."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from saetask import UserError
from saetask.data import EvaluatedItem, LogFields, open_hub_data_set

from .columns import COLUMN_FIELDS, PlacedRow, items_of_rows

FOLDER_FILES = ("dataset_dict.json", "state.json")
"""A folder that `save_to_disk` wrote has one of these."""


class DatasetRows:
    """A folder that `datasets` saved, a .parquet file, or the name of a data set on the hub."""

    name = "datasets"
    fields = (*COLUMN_FIELDS, "hub_split")

    def recognises(self, log: str) -> bool:
        """Returns whether a log is a saved folder or a Parquet file."""
        path = Path(log).expanduser()
        is_saved = any((path / name).is_file() for name in FOLDER_FILES)
        return is_saved or (path.suffix.lower() == ".parquet" and path.is_file())

    def read(self, log: str, fields: LogFields) -> Iterator[EvaluatedItem]:
        """Yields the item of each row; files are mapped into memory, hub data sets streamed.

        Raises:
            UserError: It can not be opened, or has several splits and none is named.
        """
        rows = enumerate(_open(log, fields.hub_split), 1)
        return items_of_rows((PlacedRow(f"{log}, row {n}", n, row) for n, row in rows), fields)


def _open(log: str, split: str | None) -> Iterator[Mapping[str, Any]]:
    """Yields the rows of a data set."""
    try:
        data = _data(log, split)
        if isinstance(data, dict):  # by split
            data = data[_split(log, [str(name) for name in data], split)]
        elif split is not None and Path(log).expanduser().exists():
            raise UserError(f"{log} has no splits; leave --hub-split out.")
        yield from data
    except UserError:
        raise
    except Exception as error:  # of pyarrow, fsspec, huggingface_hub, ...
        reason = " ".join(str(error).split())[:240]
        hint = (
            "" if Path(log).expanduser().exists() else "; there is no file or folder of that name"
        )
        raise UserError(f"Cannot read the data set {log}: {reason}{hint}") from error


def _split(log: str, names: list[str], wanted: str | None) -> str:
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted is None or wanted not in names:
        raise UserError(f"{log} has the splits {', '.join(names)}; name one with --hub-split.")
    return wanted


def _data(log: str, split: str | None) -> Any:
    """Returns a data set, or several by their split."""
    import datasets

    path = Path(log).expanduser()
    if path.is_dir():
        return datasets.load_from_disk(path)
    if path.exists():
        files = str(path)
        return datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
    return open_hub_data_set(log, split or "train", streaming=True)
