"""Files: written atomically, refused in one line, told apart by hash."""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saetask.errors import UserError

HALF = ".saetask-half"
"""How the name of a folder ends in which something is written that is not whole yet."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where there is no room."""
CLOSED = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
)
"""What it says where nobody may write, or something is in the way."""


@contextmanager
def user_error_on_failed_write(path: Path | str) -> Iterator[None]:
    """Says in one line what to do where the system does not let `path` be written.

    Raises:
        UserError: There is no room (any more), or nobody may write there.
    """
    try:
        yield
    except Exception as error:
        number = _error_number(error)
        if number not in FULL | CLOSED:
            raise
        mend = "Choose a writable folder, or make this one writable and start again."
        if number in FULL:
            mend = "Free space and start again: what is done is kept."
        raise UserError(f"Cannot write {path}: {os.strerror(number)}. {mend}") from error


def _error_number(error: Exception) -> int:
    """Returns the system's number of an error, which safetensors tells in its text; 0 if none."""
    from safetensors import SafetensorError

    if isinstance(error, OSError):
        return error.errno or 0
    found = isinstance(error, SafetensorError) and re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else 0


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary sibling of `path` that replaces it on success and is removed on failure.

    The sibling may be made a file or a folder by the caller. A killed process leaves it behind,
    hidden; see `remove_partial_writes`.

    Raises:
        UserError: The folder that should hold `path` can not be written, or is full.
    """
    with user_error_on_failed_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(HALF, f".{path.name}.", path.parent))
        temporary = holder / path.name
        try:
            yield temporary
            if path.is_dir():
                path.replace(holder / "old")
            temporary.replace(path)
        finally:
            shutil.rmtree(holder, ignore_errors=True)


def remove_partial_writes(folder: Path) -> None:
    """Removes what a killed process had half written in a folder that no other one writes to."""
    for half in list(folder.rglob(f".*{HALF}")):
        shutil.rmtree(half, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically (UTF-8)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, document: object) -> None:
    """Writes a JSON file atomically, keys in the order given."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def file_sha256(path: Path) -> str:
    """Returns the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(document: object) -> str:
    """Returns a short hash of a JSON-serialisable document, the same in every process."""
    text = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
