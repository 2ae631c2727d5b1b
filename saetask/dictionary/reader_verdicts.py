"""A reader's verdicts on names, concepts and findings: JSON lines beside the dictionary.

The file is only ever appended to: a later verdict on the same name replaces an earlier one, and
`withdrawn` takes it back. `saetask dictionary name` uses them for the names that it gives, and
detectors that are fitted do not see the features of concepts that were struck.
"""

import datetime
import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import Field, model_validator

from saetask.dictionary.documents import Document
from saetask.errors import UserError
from saetask.saes.loading import assets_folder
from saetask.utils.download import cache_folder
from saetask.utils.files import decode, json_text, parse_json, user_error_on_failed_write
from saetask.utils.validation import validate

SCHEMA_VERSION = 1
SUFFIX = ".verdicts.jsonl"
Subject = Literal["feature", "concept", "finding"]
Verdict = Literal["right", "wrong", "rename", "strike", "withdrawn"]
LONGEST_NAME = 200
"""Characters of a name."""
LONGEST_TEXT = 10_000
"""Characters of a text that a finding is about, or of a reader's remark."""


class ReaderVerdict(Document):
    """A line of the file: what a reader says of one name or finding."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Version of these keys."""
    date: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
    """When it was given, in UTC."""
    kind: Subject
    """What it is on."""
    id: str = Field(min_length=1, max_length=LONGEST_NAME)
    """Number of the feature, id of the concept, or a name of the finding that stays the same."""
    name: str = Field(max_length=LONGEST_NAME)
    """The name that the reader saw; of a finding, its reading."""
    verdict: Verdict
    """`right` and `wrong` are on the name or finding; `strike` has detectors not see the features
    of a concept."""
    new_name: str | None = Field(default=None, max_length=LONGEST_NAME)
    """The better name, of `rename`."""
    remark: str = Field(default="", max_length=LONGEST_TEXT)
    """The reader's own words."""
    text: str = Field(default="", max_length=LONGEST_TEXT)
    """The text that a finding is in."""

    @model_validator(mode="after")
    def _check(self) -> "ReaderVerdict":
        if (self.verdict == "rename") != bool((self.new_name or "").strip()):
            raise ValueError("new_name goes with 'rename', and must not be blank")
        if self.verdict == "strike" and self.kind != "concept":
            raise ValueError("only a concept can be struck")
        if self.verdict == "rename" and self.kind == "finding":
            raise ValueError("a finding has no name")
        if self.kind == "feature" and not (self.id.isascii() and self.id.isdigit()):
            raise ValueError("the id of a feature is its number")
        return self


def now() -> str:
    """Returns the time as a verdict has it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def verdicts_path(dictionary: Path) -> Path:
    """Returns the file of verdicts on a dictionary: beside its folder.

    Verdicts on a dictionary that saetask ships are kept in the cache folder, since an installed
    package is not written to.
    """
    folder = dictionary.resolve()
    if folder.is_relative_to(assets_folder().resolve()):
        return cache_folder() / "verdicts" / f"{folder.name}{SUFFIX}"
    return folder.with_name(f"{folder.name}{SUFFIX}")


def append_verdict(path: Path, verdict: ReaderVerdict) -> None:
    """Appends a verdict to a file: the whole line, or nothing. Safe between processes.

    Raises:
        UserError: The file can not be written.
    """
    line = (json_text(verdict.model_dump(mode="json"), ascii_only=True) + "\n").encode()
    with user_error_on_failed_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"), path.open("ab", buffering=0) as file:
            size = len(_whole_lines(path))
            try:
                file.truncate(size)  # what a process left that was killed in the middle of a line
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(size)
                raise


def _whole_lines(path: Path) -> bytes:
    data = path.read_bytes() if path.is_file() else b""
    return data[: data.rfind(b"\n") + 1]


def read_verdicts(path: Path) -> list[ReaderVerdict]:
    """Reads all verdicts of a file, oldest first; none where there is no file.

    Raises:
        UserError: A line is damaged; it is named.
    """
    lines = decode(_whole_lines(path), path).split("\n")
    rows = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    return [
        validate(ReaderVerdict, parse_json(line, f"{path}:{number}"), f"{path}:{number}")
        for number, line in rows
    ]


def standing_verdicts(verdicts: Iterable[ReaderVerdict]) -> list[ReaderVerdict]:
    """Returns the last verdict on each name, concept and finding that was not withdrawn."""
    last: dict[tuple[str, str], ReaderVerdict] = {}
    for verdict in verdicts:
        last.pop((verdict.kind, verdict.id), None)
        last[verdict.kind, verdict.id] = verdict
    return [verdict for verdict in last.values() if verdict.verdict != "withdrawn"]


def struck_concepts(dictionary: Path) -> list[str]:
    """Returns the ids of the concepts of a dictionary that a reader has struck, in their order."""
    standing = standing_verdicts(read_verdicts(verdicts_path(dictionary)))
    return sorted(v.id for v in standing if v.kind == "concept" and v.verdict == "strike")


def check_known(verdict: ReaderVerdict, n_features: int, concepts: Sequence[str]) -> None:
    """Checks that a dictionary has what a verdict is on.

    Args:
        verdict: The verdict.
        n_features: Number of the dictionary's features.
        concepts: Ids of its concepts.

    Raises:
        UserError: It has no such feature or concept.
    """
    if verdict.kind == "feature" and int(verdict.id) >= n_features:
        raise UserError(f"There is no feature {verdict.id}; it is 0 to {n_features - 1}.")
    if verdict.kind == "concept" and verdict.id not in concepts:
        raise UserError(f"The dictionary has no concept '{verdict.id}'.")
