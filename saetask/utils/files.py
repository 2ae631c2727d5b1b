"""Text and JSON read with errors of one line, atomic writes, and hashes."""

import codecs
import errno
import gzip
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import zlib
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
SIGNATURES = {
    codecs.BOM_UTF32_LE: "UTF-32; save it as UTF-8",  # begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: "UTF-32; save it as UTF-8",
    codecs.BOM_UTF16_LE: "UTF-16; save it as UTF-8",
    codecs.BOM_UTF16_BE: "UTF-16; save it as UTF-8",
    b"\x1f\x8b": "compressed by gzip; end its name in .gz, or unpack it",
    b"PK\x03\x04": "a zip archive or a workbook; unpack it, or save it as text",
    b"PAR1": "Parquet; save it as text",
}
"""First bytes of files that are often given in place of UTF-8 text: what it is, and the mend."""


def decode(data: bytes, where: Path | str) -> str:
    """Returns the text of a file, or of a line; a byte-order mark of UTF-8 is left out.

    Args:
        data: The bytes, from the beginning of the file or line.
        where: File, and line where there is one, for the error message.

    Raises:
        UserError: It is not UTF-8; what it seems to be is named.
    """
    kind = next((kind for mark, kind in SIGNATURES.items() if data.startswith(mark)), None)
    if kind is None and 0 in data[:4]:
        kind = "UTF-16 or UTF-32, or no text at all; save it as UTF-8"
    if kind is not None:
        raise UserError(f"{where}: expected UTF-8 text, but this is {kind}.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where}: not UTF-8 (byte 0x{data[error.start]:02x} after {error.start} others; is it "
            "Latin-1 or Windows-1252?); save it as UTF-8."
        ) from error


def read_text(path: Path) -> str:
    """Reads a text file in UTF-8, with or without a byte-order mark.

    Raises:
        UserError: The file is missing, can not be read, or is not UTF-8.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; a file is expected.")
    if not path.exists():
        raise UserError(f"File {path} does not exist.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    return decode(data, path)


def read_lines(
    path: Path, *, with_ends: bool = False, longest: int | None = None
) -> Iterator[tuple[int, str]]:
    """Yields the lines of a text file, or of one packed as `.gz`, with their numbers from 1.

    Args:
        path: The file.
        with_ends: Yield lines with the characters that end them, blank ones too; by default, those
            that are blank are passed over.
        longest: Maximum number of bytes of a line; None for any number.

    Raises:
        UserError: The file can not be read, or a line is not UTF-8 or too long; it is named.
    """
    number, size = 0, longest or -1
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            for number, data in enumerate(iter(lambda: file.readline(size), b""), 1):
                if len(data) == longest and not data.endswith(b"\n"):
                    raise UserError(
                        f"{path}:{number}: a line of {longest:,} bytes or more; "
                        "is this a file of one row a line?"
                    )
                line = decode(data, f"{path}:{number}")
                if with_ends:
                    yield number, line
                elif line.strip():
                    yield number, line.rstrip("\r\n")
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}:{number + 1}: cannot be read ({error}).") from error


def read_json(path: Path) -> Any:
    """Reads a JSON file; see `read_text` and `parse_json`.

    Raises:
        UserError: The file can not be read, or holds no valid JSON.
    """
    return parse_json(read_text(path), path)


def parse_json(text: str, where: Path | str) -> Any:
    """Returns a JSON value.

    Args:
        text: The JSON.
        where: Path of the file, or `FILE:LINE` where the text is one line of it.

    Raises:
        UserError: It is not valid JSON, a key occurs twice in an object, or a value is NaN or
            infinite.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except _FieldError as error:
        raise UserError(f"{where}: {error}") from error
    except json.JSONDecodeError as error:
        place = f"{where}:{error.lineno}" if isinstance(where, Path) else where
        raise UserError(f"{place}: not valid JSON ({error.msg}).") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; nested deeply
        raise UserError(f"{where}: not valid JSON ({error}).") from error


class _FieldError(ValueError):
    """A field of a JSON object is not as it must be."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in pairs:
        if key in fields:
            raise _FieldError(f"field '{key}': the key occurs twice.")
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise _FieldError(f"field '{key}': expected a finite number, found {number}.")
        fields[key] = value
    return fields


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


def make_folder(folder: Path) -> None:
    """Makes a folder, before long work whose results it is to hold.

    Raises:
        UserError: It can not be made.
    """
    with user_error_on_failed_write(folder):
        _make_folder(folder)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # below a folder like /proc, where none can be made
        raise PermissionError(errno.EACCES, str(error)) from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary sibling of `path` that replaces it on success and is removed on failure.

    The caller may make the sibling a file or a folder. A killed process leaves it behind, hidden;
    see `remove_partial_writes`.

    Raises:
        UserError: The folder of `path` can not be written, or its disk is full.
    """
    with user_error_on_failed_write(path):
        _make_folder(path.parent)
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
    """Writes a text file atomically: UTF-8, lines end alike on every system."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


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
