"""Append-only JSONL store: records by key that survive a killed process."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from saetask.errors import UserError
from saetask.utils.files import json_text, user_error_on_failed_write


class Journal:
    """Records by key, kept in memory and, where there is a file, on disk as they come.

    Each line of the file is a JSON object of one or more keys with their records: what is added
    in one call is found again whole or, when the process was killed during the write, not at all
    (a torn last line is dropped at the next start). Safe for several threads of one process.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Reads the records of an earlier process; the file is made by the first `add`.

        Args:
            path: The file; None keeps the records in memory only.

        Raises:
            UserError: The file is damaged or no journal, or its torn last line can not be dropped.
        """
        self._path = path
        self._lock = threading.Lock()
        self._records: dict[str, Any] = {}
        if path is not None and path.is_file():
            self._read(path)

    def _read(self, path: Path) -> None:
        content = path.read_bytes()
        if content.strip() and not content.lstrip().startswith(b"{"):
            raise UserError(f"{path} is no journal of answers; choose another file.")
        n_whole = content.rfind(b"\n") + 1
        for number, line in enumerate(content[:n_whole].split(b"\n"), 1):
            if not line.strip():
                continue
            try:
                self._records.update(json.loads(line))
            except (ValueError, TypeError) as error:
                raise UserError(
                    f"{path}, line {number} is damaged; delete the line or the file."
                ) from error
        if n_whole < len(content):
            with user_error_on_failed_write(path), path.open("r+b") as file:
                file.truncate(n_whole)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: str) -> bool:
        return key in self._records

    def __getitem__(self, key: str) -> Any:
        return self._records[key]

    def get(self, key: str) -> Any | None:
        """Returns the record of a key, None if there is none."""
        return self._records.get(key)

    def add(self, key: str, record: Any) -> None:
        """Keeps one record; see `add_together`."""
        self.add_together({key: record})

    def add_together(self, records: Mapping[str, Any]) -> None:
        """Adds records with distinct keys, all of them or none.

        Args:
            records: JSON-serialisable; a key that is known already gets the new record.

        Raises:
            UserError: The file can not be written, or its disk is full; it is as it was before.
        """
        line = (json_text(dict(records), ascii_only=True) + "\n").encode()
        with self._lock:
            if self._path is not None:
                with user_error_on_failed_write(self._path):
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    _append(self._path, line)
            self._records.update(records)

    @contextmanager
    def temporary(self) -> Iterator[None]:
        """Forgets at the end the records added within, unless they are in a file.

        Bounds the memory of a long stream. Not for several threads.
        """
        n_before = len(self)
        try:
            yield
        finally:
            while self._path is None and len(self) > n_before:
                self._records.popitem()  # the newest


def _append(path: Path, line: bytes) -> None:
    """Appends to a file; what was written of the line is taken off again if the write fails."""
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[file.write(rest) :]
        except BaseException:
            file.truncate(size)
            raise
