"""Atomic writes, one-line errors for failed writes, and hashes of files and documents."""

import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from saetask.errors import UserError

PARTIAL_SUFFIX = ".saetask-half"
"""End of the name of a folder that holds a file or folder until it is whole."""
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers of a full disk or quota."""
NOT_WRITABLE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
)
"""Error numbers of a missing permission, or of a file where a folder should be."""


@contextmanager
def user_error_on_failed_write(path: Path | str) -> Iterator[None]:
    """Turns system errors of writing `path` into a `UserError` of one line.

    Raises:
        UserError: The disk is full, or the path can not be written.
    """
    try:
        yield
    except Exception as error:
        number = _error_number(error)
        if number not in NO_SPACE | NOT_WRITABLE:
            raise
        mend = "Choose a writable folder, or make this one writable and start again."
        if number in NO_SPACE:
            mend = "Free space and start again: what is done is kept."
        raise UserError(f"Cannot write {path}: {os.strerror(number)}. {mend}") from error


def _error_number(error: Exception) -> int:
    """Returns the system's number of an error, which safetensors has in its text; 0 if none."""
    from safetensors import SafetensorError

    if isinstance(error, OSError):
        return error.errno or 0
    match = isinstance(error, SafetensorError) and re.search(r"\(os error (\d+)\)", str(error))
    return int(match[1]) if match else 0


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary sibling of `path` that replaces it on success and is removed on failure.

    The caller may make the sibling a file or a folder. A killed process leaves it behind, hidden;
    see `remove_partial_writes`.

    Raises:
        UserError: The folder of `path` can not be written, or its disk is full.
    """
    with user_error_on_failed_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(PARTIAL_SUFFIX, f".{path.name}.", path.parent))
        temporary = holder / path.name
        try:
            yield temporary
            if path.is_dir():
                path.replace(holder / "old")
            temporary.replace(path)
        finally:
            shutil.rmtree(holder, ignore_errors=True)


def remove_partial_writes(folder: Path) -> None:
    """Removes what a killed process left partly written; no other process may write the folder."""
    for half in list(folder.rglob(f".*{PARTIAL_SUFFIX}")):
        shutil.rmtree(half, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically (UTF-8)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_text(
    document: object,
    *,
    indent: int | None = None,
    ascii_only: bool = False,
    sort_keys: bool = False,
) -> str:
    """Returns a document as JSON; every JSON text that saetask writes is made here.

    Raises:
        UserError: A number is NaN or infinite, which JSON does not have.
    """
    options: dict[str, Any] = {"indent": indent, "sort_keys": sort_keys}
    try:
        return json.dumps(document, ensure_ascii=ascii_only, allow_nan=False, **options)
    except ValueError:
        place = _non_finite(document)
        if place is None:  # another error, such as a circular document
            raise
        raise UserError(
            f"{place} is not a finite number, and JSON has no such value; look for what computed "
            "it (most often, a model or an SAE whose weights are not finite)."
        ) from None


def _non_finite(document: object, place: str = "") -> str | None:
    """Returns the path of the first number of a document that is NaN or infinite, with it."""
    if isinstance(document, float):
        return None if math.isfinite(document) else f"'{place}' = {document}"
    if isinstance(document, Mapping):
        parts = document.items()
    elif isinstance(document, list | tuple):
        parts = enumerate(document)
    else:
        return None
    places = (_non_finite(part, f"{place}.{key}" if place else str(key)) for key, part in parts)
    return next(filter(None, places), None)


def write_json(path: Path, document: object) -> None:
    """Writes a JSON file atomically, keys in the order given.

    Raises:
        UserError: A number is NaN or infinite, or the file can not be written.
    """
    text = json_text(document, indent=2)
    write_text(path, text + "\n")


def file_sha256(path: Path) -> str:
    """Returns the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(document: object) -> str:
    """Returns a short hash of a JSON-serialisable document, the same in every process."""
    text = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
