"""Importers: evaluation logs of other programs, and of saetask, read as evaluated items."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.log_values import as_score
from saetask.data.prompts import Prompt
from saetask.errors import UserError, did_you_mean
from saetask.utils.names import is_path, local_path


@dataclass(frozen=True)
class LogFields:
    """Which parts of an evaluation log are read; an importer takes some of these."""

    prompt_field: str | None = None
    """Column of the prompt, a text or a chat (default: prompt, question, input or messages)."""
    output_field: str | None = None
    """Column of what the model answered (default: output, response or prediction)."""
    correct_field: str | None = None
    """Column of the score, 0 (wrong) to 1 (right) (default: correct, score or acc)."""
    target_field: str | None = None
    """Column of the right answer, for what is asked again (default: target, gold or reference)."""
    paraphrase_field: str | None = None
    """Column of the prompt in other words, a text or a list, for --vary wording."""
    id_field: str | None = None
    """Column of the id (default: id, else the row's number)."""
    group_field: str | None = None
    """Column (lm-eval: field of doc; inspect: key of metadata) that items in a group share."""
    as_chat: bool = False
    """Read texts as a user's message in the model's chat template (the default: running text)."""
    metric: str | None = None
    """Metric (lm-eval) or scorer (inspect) that tells right from wrong, where there are several."""
    filter: str | None = None
    """Filter of lm-eval's answers, where there are several."""
    arm: str | None = None
    """Arm of a run of saetask (default: original)."""
    hub_split: str | None = None
    """Split of a `datasets` folder or hub data set (default: the only one, on the hub train)."""


class Importer(Protocol):
    """Protocol of an importer plugin: it reads evaluation logs of one format."""

    name: str
    fields: Sequence[str]
    """Names of the `LogFields` that it takes; others are refused where they are given."""

    def recognises(self, log: str) -> bool:
        """Returns whether a log is of this format: by its name and beginning, without an error."""
        ...

    def read(self, log: str, fields: LogFields) -> Iterator[EvaluatedItem]:
        """Yields a log's items one by one; the log is never in memory as a whole.

        Args:
            log: Path of a file or folder, or the name of a data set on a hub.
            fields: Which parts of the log are read.
        """
        ...


def read_log(
    log: Path | str, format: str, fields: LogFields, importers: Mapping[str, Importer]
) -> Iterator[EvaluatedItem]:
    """Returns the items of an evaluation log, read one by one and checked.

    Where the log has no groups, items with the same prompt are one group.

    Args:
        log: Path of a file or folder, or, where the format is named, of a data set on a hub.
        format: Name of the importer; `auto` takes the first that recognises the log.
        fields: Which parts of the log are read.
        importers: The importers by name, as `PluginRegistry.by_name("importer")` returns them.

    Raises:
        UserError: The format is not known, it has no such field, or, while reading: the log is
            damaged or empty, an id occurs twice, an item has no prompt, or a score is no number
            from 0 to 1.
    """
    name = str(log)
    if not local_path(log).exists() and (format == "auto" or is_path(log)):
        hint = "" if is_path(log) else " A data set on the hub is read with --format datasets."
        raise UserError(f"Log {name} does not exist.{hint}")
    importer = _importer(name, format, importers)
    for field in _given(fields):
        if field not in importer.fields:
            flag, taken = _flag(field), ", ".join(map(_flag, importer.fields)) or "none"
            raise UserError(
                f"{flag} is not for logs of format {importer.name}; they take: {taken}."
            )
    return _checked(name, importer.read(name, fields))


def _importer(log: str, format: str, importers: Mapping[str, Importer]) -> Importer:
    if format in importers:
        return importers[format]
    if format != "auto":
        raise UserError(f"Unknown format '{format}'.{did_you_mean(format, [*importers, 'auto'])}")
    for importer in importers.values():
        if importer.recognises(log):
            return importer
    if local_path(log).is_dir():
        raise UserError(
            f"{log} is a folder that is no log of a format that is recognised "
            f"({', '.join(importers)}); give a file in it."
        )
    raise UserError(
        f"{log} is of no format that is recognised; name one with --format: {', '.join(importers)}."
    )


def _given(chosen: LogFields) -> list[str]:
    default = LogFields()
    names = [field.name for field in fields(LogFields)]
    return [name for name in names if getattr(chosen, name) != getattr(default, name)]


def _flag(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def _checked(log: str, items: Iterator[EvaluatedItem]) -> Iterator[EvaluatedItem]:
    ids: set[str] = set()
    first_with: dict[bytes, str] = {}  # digests, because prompts would hold the log in memory
    for number, item in enumerate(items, 1):
        place = item.place or f"{log}: item {number}"
        if not item.id or item.id in ids:
            problem = f"id '{item.id}' occurs twice" if item.id else "the id is empty"
            raise UserError(f"{place}: {problem}; ids must be unique in a log.")
        ids.add(item.id)
        _check_prompt(item.prompt, place)
        score = as_score(item.correct, place)
        group = item.group
        if group == item.id:
            digest = blake2b(repr(item.prompt).encode(), digest_size=16).digest()
            group = first_with.setdefault(digest, item.id)
        yield replace(item, correct=score, group=group, place=place)
    if not ids:
        raise UserError(f"{log} holds no items; it seems to be empty.")


def _check_prompt(prompt: Prompt | str, place: str) -> None:
    if not isinstance(prompt, Prompt | str):
        raise UserError(f"{place}: the prompt is {prompt!r:.60}; it must be a text or a Prompt.")
    if isinstance(prompt, Prompt) and not prompt.messages:
        raise UserError(f"{place}: the prompt has no messages.")
    text = prompt if isinstance(prompt, str) else prompt.content
    if not text.strip():
        raise UserError(f"{place}: the prompt is empty; every item needs one.")
