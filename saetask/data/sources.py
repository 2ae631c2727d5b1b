"""Sources of a corpus: files or hub data sets whose rows hold a text or a chat each."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.data.chats import text_or_chat
from saetask.data.hub_data_sets import open_hub_data_set
from saetask.errors import UserError
from saetask.utils.files import file_sha256, parse_json, read_json, read_lines
from saetask.utils.names import is_path, local_path

if TYPE_CHECKING:
    from datasets import Dataset

KINDS = {
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "json",
    ".txt": "text",
    ".parquet": "parquet",
}
"""How files are read, by the end of their names; all but Parquet may be packed as `.gz`."""
READ_KINDS = ".jsonl, .ndjson, .json, .txt (each also as .gz) and .parquet"
CELL = "cell"
"""Column of the rows of JSON files: the JSON text of the cell, null where there is none."""


@dataclass(frozen=True)
class Source:
    """A data set of a corpus."""

    path: str
    """A file (.jsonl, .json, .txt, each also as .gz, or .parquet), or the id of a hub data set."""
    share: float = 1.0
    """This source's share of the corpus's tokens, relative to the other sources' shares."""
    column: str = "text"
    """The column of the text, or of the chat: a list of `{"role", "content"}` or, as in ShareGPT,
    of `{"from", "value"}`."""
    hub_split: str = "train"
    """Which split of a hub data set to read."""


class SourceRows:
    """The rows of a source; a row is a text, a chat, or nothing.

    Rows that hold nothing (a null, a missing key, an empty chat) keep their number, so that the
    documents after them are the same ones.
    """

    def __init__(self, source: Source, base: Path) -> None:
        """Opens a source with `datasets`; a relative file path is taken from the folder `base`.

        Raises:
            UserError: The file does not exist, is of a kind that is not read or damaged, the hub
                data set can not be read, or the column is missing.
        """
        self.source = source
        is_file = is_path(source.path, base)
        self._is_json = is_file and _kind(source, local_path(source.path, base)) != "parquet"
        try:
            self._data = (
                _open_file(source, base)
                if is_file
                else open_hub_data_set(source.path, source.hub_split)
            )
        except Exception as error:  # of pyarrow, fsspec, huggingface_hub, ...
            raise _cannot_read(source, error, is_file) from error
        self._column = CELL if self._is_json else source.column
        if self._column not in self._data.column_names:
            raise _no_column(source, self._data.column_names)
        self.n_empty = self._data.data.column(self._column).null_count
        """Number of rows with a null in the column, or without the key."""
        if self.n_empty == len(self._data):
            raise UserError(
                f"Corpus source {source.path}: all {len(self._data)} rows are null in the column "
                f"'{source.column}'; name another column."
            )
        if self.n_empty:
            _warn_once(
                f"corpus source {source.path}: {self.n_empty:,} of {len(self._data):,} rows have "
                f"nothing in the column '{source.column}' and are passed over."
            )

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, number: int) -> str | list[dict[str, str]] | None:
        """Returns a row by its number: its text, its chat, or None where it holds nothing.

        Raises:
            UserError: It holds something else; source, column and row are named.
        """
        value = self._data[number][self._column]
        if self._is_json and value is not None:
            value = json.loads(value)
        return text_or_chat(value, self.place(number))

    def place(self, number: int) -> str:
        """Returns where a row is, for messages."""
        source = self.source
        return f"Corpus source {source.path}, column '{source.column}', row {number + 1}"


def source_content(source: Source, base: Path) -> str:
    """Returns a hash of a file's bytes; of a hub data set its name and split."""
    if not is_path(source.path, base):
        return f"{source.path} {source.hub_split}"
    path = local_path(source.path, base)
    return _sha256(path) if path.is_file() else "missing"


def _sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, which is read once in a process unless it is written anew."""
    found = path.stat()
    return _sha256_once(path.resolve(), found.st_size, found.st_mtime_ns)


@cache
def _sha256_once(path: Path, size: int, modified: int) -> str:
    return file_sha256(path)


def _kind(source: Source, path: Path) -> str:
    """Returns how a file is read.

    Raises:
        UserError: There is none, or it is of a kind that is not read.
    """
    if path.is_dir():
        raise UserError(
            f"Corpus source {source.path} is a folder; name the files in it ({READ_KINDS})."
        )
    if not path.is_file():
        raise UserError(f"Corpus file {path} does not exist; check corpus.sources.")
    name = path.name.lower()
    kind = KINDS.get(Path(name.removesuffix(".gz")).suffix)
    if kind is None or (kind == "parquet" and name.endswith(".gz")):
        raise UserError(f"Corpus file {path} is of no kind that is read: {READ_KINDS}.")
    return kind


def _open_file(source: Source, base: Path) -> "Dataset":
    import datasets

    path = local_path(source.path, base)
    kind = _kind(source, path)
    if kind == "parquet":
        return datasets.load_dataset("parquet", data_files=str(path), split="train")
    # The hash is among the arguments because `datasets` caches what it made of equal ones.
    arguments = {"path": str(path), "kind": kind, "column": source.column}
    return datasets.Dataset.from_generator(
        _json_cells,
        features=datasets.Features({CELL: datasets.Value("large_string")}),
        gen_kwargs={**arguments, "sha256": _sha256(path)},
    )


def _cannot_read(source: Source, error: BaseException, is_file: bool) -> UserError:
    cause: BaseException | None = error
    while cause is not None:  # `datasets` wraps what its generator raises
        if isinstance(cause, UserError):
            return UserError(str(cause))
        cause = cause.__cause__
    reason = " ".join(str(error).split())[:240] or "it seems to be empty"
    hint = "" if is_file else "; there is no file or folder of that name"
    return UserError(f"Cannot read the corpus source {source.path}: {reason}{hint}")


def _json_cells(path: str, kind: str, column: str, sha256: str) -> Iterator[dict[str, str | None]]:
    """Yields the cell of each row of a text or JSON file, as JSON."""
    seen: set[str] = set()
    for row in _file_rows(Path(path), kind, column):
        seen.update(row)
        value = row.get(column)
        yield {CELL: None if value is None else json.dumps(value)}
    if column not in seen:
        raise _no_column(Source(path, column=column), sorted(seen))


def _file_rows(path: Path, kind: str, column: str) -> Iterator[Mapping[str, Any]]:
    """Yields the rows of a text or JSON file as objects."""
    if kind == "text":
        if column != "text":
            raise _no_column(Source(str(path), column=column), ["text"])
        for _, line in read_lines(path):
            yield {"text": line}
        return
    first = next((line.lstrip() for _, line in read_lines(path)), "")
    if kind == "json" and first.startswith("[") and path.suffix.lower() != ".gz":
        for number, row in enumerate(read_json(path), 1):
            yield _object(row, f"{path}, element {number}")
        return
    for number, line in read_lines(path):
        yield _object(parse_json(line.strip(), f"{path}:{number}"), f"{path}:{number}")


def _object(row: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(row, Mapping):
        raise UserError(f"{place}: expected a JSON object, found {row!r:.60}.")
    return row


def _no_column(source: Source, names: Sequence[str]) -> UserError:
    others = ", ".join(sorted(names)[:12]) or "none"
    hint = ""
    if chats := [name for name in ("messages", "conversations") if name in names]:
        hint = f" Chats are read with column: {chats[0]}, in a corpus file (YAML)."
    return UserError(
        f"Corpus source {source.path} has no column '{source.column}'; it has {others}.{hint}"
    )


@cache
def _warn_once(line: str) -> None:
    print(f"saetask: warning: {line}", file=sys.stderr)
