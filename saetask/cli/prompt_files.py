"""`saetask detect --file`: every row of a file of prompts is checked before one is asked."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from saetask.cli.task_sessions import TaskOptions, check_items, check_question, open_session
from saetask.errors import UserError
from saetask.utils.files import json_text, user_error_on_failed_write

if TYPE_CHECKING:
    from saetask.plugins import PluginRegistry
    from saetask.session import Session


class FilePrompt(NamedTuple):
    """A row of a file of prompts, with what the flags say where it says nothing."""

    place: str
    """`FILE:LINE`."""
    prompt: str
    target: str | None
    own_task: str | None
    """Name of the task that the row itself gives."""
    task: str
    """Name of the task that asks about it."""


def detect_file(
    arguments: Namespace, registry: "PluginRegistry", options: TaskOptions, path: Path
) -> None:
    """Prints a line for each prompt of a file as soon as it is made; keeps none of them.

    Every row is of its own task, which has a session of its own.

    Raises:
        UserError: A row does not fit; nothing has been loaded or printed then, unless the prompt
            is longer than the model can read.
    """
    from saetask.session.documents import detection_document

    _check_rows(registry, options, path)
    sessions: dict[str, Session] = {}
    for row in _read_prompts(options, path):
        with _naming(row):
            if row.task not in sessions:
                earlier = next(iter(sessions.values()), None)
                sessions[row.task] = open_session(arguments, registry, options, row.task, earlier)
            detection = sessions[row.task].detect(row.prompt, row.target)
        with user_error_on_failed_write("standard output"):
            print(json_text(detection_document(detection)), flush=True)


def _read_prompts(options: TaskOptions, path: Path) -> Iterator[FilePrompt]:
    """Yields the rows of a file of prompts; a row's own target and task precede the flags."""
    from saetask.data.items import PromptRow, read_validated_rows

    for number, row in read_validated_rows(path, PromptRow):
        target = options.target if row.target is None else row.target
        task = row.task or options.task_name(target)
        yield FilePrompt(f"{path}:{number}", row.prompt, target, row.task, task)


def _check_rows(registry: "PluginRegistry", options: TaskOptions, path: Path) -> None:
    """Checks every row of a file of prompts.

    Raises:
        UserError: A row is malformed or does not fit its task; its task is not that of `--task`, or
            has no items to fit on; or `--data` has items for the task of another row.
    """
    tasks: list[str] = []
    for row in _read_prompts(options, path):
        with _naming(row):
            if options.task not in (None, row.task):
                raise UserError(
                    f"field 'task': '{row.task}', but --task is '{options.task}'; drop one."
                )
            if row.task not in tasks and tasks and options.data is not None:
                raise UserError(
                    f"this row is of the task {row.task}, but --data has items of {tasks[0]}, the "
                    "task of the rows above; give --task, or a file of prompts for each task."
                )
            check_question(registry, options, row.own_task, row.prompt, row.target)
            if row.task not in tasks:
                check_items(registry, options, row.task)
                tasks.append(row.task)


@contextmanager
def _naming(row: FilePrompt) -> Iterator[None]:
    """Puts file and line of a row before what is wrong with it."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{row.place}: {error}") from error
