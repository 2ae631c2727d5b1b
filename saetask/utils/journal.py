"""Answers that took long to get, kept as they come."""

import json
import threading
from pathlib import Path
from typing import IO, Any

from saetask.errors import UserError
from saetask.utils.files import user_error_on_failed_write


class Journal:
    """Records found by key, one JSON object a line; may be written from several threads.

    A line is written whole or, when the process is killed over it, dropped at the next start.
    """

    def __init__(self, path: Path) -> None:
        """Opens the journal.

        Raises:
            UserError: It is damaged, or its folder can not be written.
        """
        self._path = path
        self._lock = threading.Lock()
        self._found: dict[str, dict[str, Any]] = {}
        with user_error_on_failed_write(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("a+b")
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        self._file.truncate(whole)
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                record = json.loads(line)
                self._found[record["key"]] = record
            except (ValueError, KeyError, TypeError) as error:
                self._file.close()
                raise UserError(
                    f"{path}, line {number} is damaged; delete the line or the file."
                ) from error

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *error: object) -> None:
        with user_error_on_failed_write(self._path):  # what could not be written is tried again
            self._file.close()

    def get(self, key: str) -> dict[str, Any] | None:
        """Returns the record of a key, None if there is none."""
        return self._found.get(key)

    def add(self, key: str, record: dict[str, Any]) -> None:
        """Keeps a record, at once.

        Raises:
            UserError: The disk is full.
        """
        line = json.dumps({"key": key, **record}, ensure_ascii=False) + "\n"
        with self._lock, user_error_on_failed_write(self._path):
            self._found[key] = record
            self._file.write(line.encode())
            self._file.flush()
