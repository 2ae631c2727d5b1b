"""Samples of lm-evaluation-harness, as `--log_samples` writes them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from saetask import UserError
from saetask.data import (
    LM_EVAL,
    LONGEST_LINE,
    EvaluatedItem,
    LogFields,
    as_logged_prompt,
    as_score,
    first_row,
    log_kind,
    read_rows,
)

FILE_NAME = re.compile(r"samples_(.+)_\d{4}-\d\d-\d\dT[\d.:-]+\.jsonl(\.gz)?")
NEEDED = ("doc_id", "arguments", "resps")
OWN_FIELDS = {
    *(*NEEDED, "doc", "target", "filtered_resps", "filter", "metrics"),
    *("doc_hash", "prompt_hash", "target_hash"),
}
"""Fields of a row that are no metrics; rows of older releases do not list their metrics."""


class Answered(NamedTuple):
    """What was asked of a model for one document, and what it answered."""

    prompt: Any
    answers: list[str]
    choices: tuple[str, ...] = ()
    """Continuations among which the model had to choose, after one prompt."""


class LMEvalSamples:
    """samples_*.jsonl of lm-evaluation-harness, or the output folder with them.

    Texts are read as they were given to the model: with the markup of the chat template, if that
    was applied. The prompt of a multiple-choice document is the context that its requests share,
    and the answer the most probable continuation.
    """

    name = "lm-eval"
    fields = ("metric", "filter", "group_field")

    def recognises(self, log: str) -> bool:
        """Returns whether a log is a file of samples, or a folder with such files."""
        path = Path(log).expanduser()
        if path.is_dir():
            return any(path.rglob("samples_*.jsonl"))
        return path.is_file() and log_kind(first_row(path)) == LM_EVAL

    def read(self, log: str, fields: LogFields) -> Iterator[EvaluatedItem]:
        """Yields an item for each document, of all tasks of a folder.

        Raises:
            UserError: A row is damaged, there are several models or evaluations of a task, or
                several metrics or filters and none is named.
        """
        files = _files(Path(log).expanduser())
        for task, path in files.items():
            for place, row in _filtered(path, fields.filter):
                yield _item(place, row, task, fields, is_one_of_several=len(files) > 1)


def _files(path: Path) -> dict[str, Path]:
    """Returns the files of samples by task."""
    if path.is_file():
        return {_task(path): path}
    files: dict[str, Path] = {}
    for file in sorted(path.rglob("samples_*.jsonl")):
        task = _task(file)
        if task in files:
            raise UserError(
                f"{path} has several evaluations of the task {task}: "
                f"{files[task].relative_to(path)}, {file.relative_to(path)}; name one file."
            )
        files[task] = file
    if len(models := {file.parent.name for file in files.values()}) > 1:
        raise UserError(
            f"{path} has samples in the folders {', '.join(sorted(models))}, which are of several "
            "models; give one of them."
        )
    if not files:
        raise UserError(f"{path} has no file samples_*.jsonl; evaluate with --log_samples.")
    return files


def _task(path: Path) -> str:
    match = FILE_NAME.fullmatch(path.name)
    return match[1] if match else path.name.partition(".jsonl")[0]


def _filtered(path: Path, wanted: str | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields the rows of one filter, each with its place; every document has a row a filter."""
    rows, met = read_rows(path, longest=LONGEST_LINE), set[str]()
    is_empty = True
    for number, row in rows:
        name = str(row.get("filter", "none"))
        met.add(name)
        if wanted is None and len(met) > 1:
            raise _choose(path, "filters", met | {str(r.get("filter", "none")) for _, r in rows})
        if wanted in (None, name):
            is_empty = False
            yield f"{path}:{number}", row
    if is_empty:
        raise _choose(path, "filters", met)


def _choose(where: Path | str, what: str, names: Iterable[str]) -> UserError:
    flag = what.removesuffix("s")
    return UserError(f"{where} has the {what} {', '.join(sorted(names))}; name one with --{flag}.")


def _item(
    place: str, row: Mapping[str, Any], task: str, fields: LogFields, is_one_of_several: bool
) -> EvaluatedItem:
    for field in NEEDED:
        if field not in row:
            raise UserError(f"{place}: field '{field}' is missing; is this a file of samples?")
    metric = _metric(place, row, fields.metric)
    try:
        asked = _asked(row)
    except (TypeError, KeyError, IndexError, ValueError, AttributeError) as error:
        raise UserError(
            f"{place}: 'arguments' and 'resps' are not as lm-eval writes them ({error!r:.120})."
        ) from error
    name = f"{task}/{row['doc_id']}" if is_one_of_several else str(row["doc_id"])
    return EvaluatedItem(
        name,
        as_logged_prompt(asked.prompt, f"{place}, field 'arguments'"),
        asked.answers[0],
        as_score(row[metric], f"{place}, metric '{metric}'"),
        _group(place, row, fields.group_field) or name,
        tuple(asked.answers[1:]),
        {"task": task},
        place,
        _target(row, asked.choices),
        asked.choices,
    )


def _target(row: Mapping[str, Any], choices: tuple[str, ...]) -> str | None:
    """Returns the right answer; rows have its text, or the number of the choice."""
    target = str(row.get("target", "")).strip()
    if choices and target not in choices:
        number = int(target) if target.isdecimal() else len(choices)
        return choices[number] if number < len(choices) else None
    return target or None


def _metric(place: str, row: Mapping[str, Any], wanted: str | None) -> str:
    """Returns the name of the metric that is the score."""
    listed = row.get("metrics")
    if not isinstance(listed, list):
        listed = [name for name in row if name not in OWN_FIELDS]
    names = [name for name in map(str, listed) if name in row]
    if wanted in names:
        return str(wanted)
    if wanted is None and len(names) == 1:
        return names[0]
    if not names:
        raise UserError(f"{place}: the row has no metric, so no score.")
    raise _choose(place, "metrics", names)


def _group(place: str, row: Mapping[str, Any], field: str | None) -> str:
    if field is None:
        return ""
    doc = row.get("doc")
    if not isinstance(doc, Mapping) or field not in doc:
        names = ", ".join(list(doc)[:12]) if isinstance(doc, Mapping) else "nothing"
        raise UserError(f"{place}: doc has no field '{field}' for --group-field; it has: {names}.")
    return str(doc[field])


def _asked(row: Mapping[str, Any]) -> Answered:
    """Returns the prompt and the answers of a document."""
    given, resps = row["arguments"], row["resps"]
    if isinstance(given, Mapping):  # {"gen_args_0": {"arg_0": context, "arg_1": ...}, ...}
        given = [[*arguments.values()] for arguments in given.values()]
    contexts = [_unpacked(arguments[0]) for arguments in given]
    if isinstance(resps[0][0], str):  # generated
        return Answered(contexts[0], list(map(str, resps[0])))
    # Requests without a context measure how probable a choice is by itself.
    asked = [i for i, context in enumerate(contexts) if context] or [*range(len(contexts))]
    continuations = [str(given[i][1]) for i in asked]
    likelihoods = [float(resps[i][0][0]) for i in asked]
    best = max(range(len(asked)), key=likelihoods.__getitem__)
    if len(asked) == 1 and str(resps[asked[0]][0][1]) != "True":
        return Answered(contexts[asked[0]], [""])  # something else is more probable
    shared = [contexts[i] for i in asked]
    prompt = shared[0]
    if any(context != prompt for context in shared):  # choices that stand inside the text
        texts = [f"{a}{b}" for a, b in zip(shared, continuations)]
        prompt = re.sub(r"\S*$", "", _shared_beginning(texts)).rstrip()
        return Answered(prompt, [texts[best][len(prompt) :].strip()])
    choices = tuple(continuation.strip() for continuation in continuations)
    return Answered(prompt, [choices[best]], choices if len(choices) > 1 else ())


def _shared_beginning(texts: list[str]) -> str:
    shared = takewhile(lambda characters: len(set(characters)) == 1, zip(*texts))
    return "".join(characters[0] for characters in shared)


def _unpacked(context: Any) -> Any:
    """Returns a context without the list that a chat written as JSON stands in."""
    return context[0] if isinstance(context, list) and len(context) == 1 else context
