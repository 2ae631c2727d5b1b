"""Checks of a folder that a command is about to write, before anything is computed for it."""

from collections.abc import Collection
from pathlib import Path

from saetask.errors import UserError
from saetask.utils.files import user_error_on_failed_write


def check_no_file(folder: Path) -> None:
    """Checks that a path can be a folder.

    Raises:
        UserError: It, or a folder that it is in, is a file.
    """
    with user_error_on_failed_write(folder):
        file = next((path for path in (folder, *folder.parents) if path.is_file()), None)
    if file is not None:
        place = "" if file == folder else f"{folder}: "
        raise UserError(f"{place}{file} is a file; give a folder.")


def check_output_folder(folder: Path, is_own: bool, unfinished: Collection[str] = ()) -> None:
    """Checks that a folder is absent, empty, or was written by the command that writes it now.

    Hidden files do not count: systems and file managers leave them, and partial writes are hidden.

    Args:
        folder: The folder.
        is_own: Whether what it holds shows that the command wrote it.
        unfinished: Names that the command may leave in it before it shows that.

    Raises:
        UserError: It is a file or in one, can not be read, or holds other files.
    """
    check_no_file(folder)
    if is_own or not folder.is_dir():
        return
    with user_error_on_failed_write(folder):
        held = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if others := sorted(held.difference(unfinished)):
        raise UserError(
            f"--out {folder} holds other files ({others[0]}{', …' * (len(others) > 1)}); "
            "give a folder of its own."
        )
