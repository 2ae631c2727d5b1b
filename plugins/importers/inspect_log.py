"""Logs of inspect_ai, read by its own reader."""

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask import UserError
from saetask.data import (
    INSPECT,
    EvaluatedItem,
    LogFields,
    Prompt,
    as_logged_prompt,
    as_score,
    log_file_kind,
)

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample  # pyright: ignore[reportMissingImports]

SUFFIXES = (".eval", ".json")
PACKAGE = "inspect_ai>=0.3.242"
UNUSED = {"events", "store"}
"""Large parts of a sample that are not read."""
AT_A_TIME = 256
"""Number of samples that are in memory at a time."""
LARGEST_JSON = 256 << 20
"""Maximum size in bytes of a log in JSON, which inspect_ai reads into memory as a whole."""


class InspectLog:
    """Logs of inspect_ai, .eval or .json, or a folder of a model's logs; epochs become `samples`.

    The prompt is the messages before the model's first answer, the score the mean over epochs.
    """

    name = "inspect"
    fields = ("metric", "group_field")

    def recognises(self, log: str) -> bool:
        """Returns whether a log is a file of inspect_ai, or a folder with such files."""
        return bool(_files(Path(log).expanduser()))

    def read(self, log: str, fields: LogFields) -> Iterator[EvaluatedItem]:
        """Yields an item for each sample, with all its epochs, of all tasks of a folder.

        Raises:
            UserError: inspect_ai is not installed, the log is damaged or too large, it has
                several scorers and none is named, or a folder has several models, several
                evaluations of a task, or no log.
        """
        if importlib.util.find_spec("inspect_ai") is None:
            raise UserError(
                f'{log} is read by inspect_ai, which is not installed: pip install "{PACKAGE}"'
            )
        path = Path(log).expanduser()
        logs = _logs_by_task(path) if path.is_dir() else {"": path}
        for task, file in logs.items():
            for _, epochs in groupby(_samples(file), key=lambda sample: sample.id):
                item = _item(str(file), list(epochs), fields)
                yield _of_task(item, task) if len(logs) > 1 else item


def _files(path: Path) -> list[Path]:
    """Returns the logs of inspect_ai in a folder, or a file if it is one."""
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES)
    return [file for file in files if file.is_file() and log_file_kind(file) == INSPECT]


def _logs_by_task(folder: Path) -> dict[str, Path]:
    """Returns the logs of a folder by task."""
    logs: dict[str, Path] = {}
    models: dict[str, Path] = {}
    for file in _files(folder):
        evaluated = _header(file).eval
        if evaluated.task in logs:
            raise UserError(
                f"{folder} has several evaluations of the task {evaluated.task}: "
                f"{logs[evaluated.task].name}, {file.name}; name one file."
            )
        logs[evaluated.task] = models[evaluated.model] = file
    if len(models) > 1:
        raise UserError(f"{folder} has logs of the models {', '.join(models)}; name one file.")
    if not logs:
        raise UserError(f"{folder} has no log of inspect_ai ({', '.join(SUFFIXES)}).")
    return logs


def _of_task(item: EvaluatedItem, task: str) -> EvaluatedItem:
    """Returns an item with an id that no item of another task has."""
    name = f"{task}/{item.id}"
    group = name if item.group == item.id else item.group
    return replace(item, id=name, group=group, metadata={"task": task})


def _header(path: Path) -> "EvalLog":
    from inspect_ai.log import read_eval_log  # pyright: ignore[reportMissingImports]

    with _user_errors(path):
        return read_eval_log(str(path), header_only=True)


def _samples(path: Path) -> "Iterator[EvalSample]":
    """Yields the samples of a log, all epochs of one after another."""
    from inspect_ai.log import read_eval_log  # pyright: ignore[reportMissingImports]

    with _user_errors(path):
        if path.suffix == ".eval":
            yield from _samples_of_archive(str(path))
            return
        if path.stat().st_size > LARGEST_JSON:
            raise UserError(
                f"{path} is too large for a log in JSON; make it an .eval log, which is read "
                f"piece by piece: inspect log convert {path} --to eval --output-dir DIR"
            )
        samples = read_eval_log(str(path), resolve_attachments=True).samples or []
        yield from sorted(samples, key=lambda sample: (str(sample.id), sample.epoch))


@contextmanager
def _user_errors(path: Path) -> Iterator[None]:
    """Turns an error of inspect_ai's reader into a line that names the log."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of zipfile, json, pydantic, ...
        reason = " ".join(str(error).split())[:240]
        raise UserError(f"{path}: cannot be read as a log of inspect_ai: {reason}") from error


def _samples_of_archive(path: str) -> "Iterator[EvalSample]":
    """Yields the samples of an .eval log, read a few at a time."""
    from inspect_ai.log import (  # pyright: ignore[reportMissingImports]
        read_eval_log_sample_summaries,
        read_eval_log_samples_by_id,
    )

    epochs: dict[int | str, list[int]] = {}
    for summary in read_eval_log_sample_summaries(path):
        epochs.setdefault(summary.id, []).append(summary.epoch)
    names = [(name, epoch) for name, numbers in epochs.items() for epoch in sorted(numbers)]
    for start in range(0, len(names), AT_A_TIME):
        yield from read_eval_log_samples_by_id(
            path,
            names[start : start + AT_A_TIME],
            resolve_attachments=True,
            exclude_fields=UNUSED,
        )


def _item(log: str, epochs: "list[EvalSample]", fields: LogFields) -> EvaluatedItem:
    first = epochs[0]
    name = str(first.id)
    place = f"{log}, sample {name}"
    scores = [_score(f"{place}, epoch {one.epoch}", one.scores or {}, fields) for one in epochs]
    known = [score for score in scores if score is not None]
    output, *samples = (one.output.completion for one in epochs)
    target = first.target if isinstance(first.target, str) else ", ".join(first.target)
    return EvaluatedItem(
        name,
        _prompt(place, first),
        output,
        sum(known) / len(known) if known else None,
        _group(place, first.metadata, fields.group_field) or name,
        tuple(samples),
        {},
        place,
        target or None,
    )


def _prompt(place: str, sample: "EvalSample") -> Prompt:
    """Returns the chat before the model's first answer; the sample's input where there is none."""
    messages: list[dict[str, str]] = []
    for message in sample.messages:
        if message.role == "assistant" and message.source != "input":
            break
        messages.append(_message(place, message))
    if not messages:
        if isinstance(sample.input, str):
            messages = [{"role": "user", "content": sample.input}]
        else:
            messages = [_message(place, message) for message in sample.input]
    prompt = as_logged_prompt(messages, place)
    assert isinstance(prompt, Prompt)
    return prompt


def _message(place: str, message: Any) -> dict[str, str]:
    content = message.content
    kinds = [] if isinstance(content, str) else [part.type for part in content]
    if other := next((kind for kind in kinds if kind not in ("text", "reasoning")), None):
        raise UserError(f"{place}: a message holds {other}; only texts are read.")
    return {"role": message.role, "content": message.text}


def _score(place: str, scores: Mapping[str, Any], fields: LogFields) -> float | None:
    """Returns the score of one epoch; None where it has none, as after an error."""
    values: dict[str, Any] = {}
    for scorer, score in scores.items():
        parts = score.value if isinstance(score.value, dict) else {"": score.value}
        values |= {f"{scorer}.{key}" if key else scorer: value for key, value in parts.items()}
    if not values:
        return None
    names = ", ".join(sorted(values))
    if fields.metric is None and len(values) > 1:
        raise UserError(f"{place} has the scorers {names}; name one with --metric.")
    metric = fields.metric or next(iter(values))
    if metric not in values:
        raise UserError(f"{place} has no scorer '{metric}'; name one with --metric: {names}.")
    return as_score(values[metric], f"{place}, scorer '{metric}'")


def _group(place: str, metadata: Mapping[str, Any], field: str | None) -> str:
    if field is None:
        return ""
    if field not in metadata:
        names = ", ".join(metadata) or "nothing"
        raise UserError(
            f"{place}: metadata has no '{field}' for --group-field; it has: {names[:160]}."
        )
    return str(metadata[field])
