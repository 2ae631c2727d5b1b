"""Files: whole or not there, and refused in one line."""

import errno
import math
import os
import re
import resource
from pathlib import Path

import pytest

import saetask
from saetask.utils.files import (
    PARTIAL_SUFFIX,
    atomic_path,
    content_hash,
    remove_partial_writes,
    user_error_on_failed_write,
    write_json,
    write_text,
)
from tests.helpers.refusals import refusal


def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail_midway():
        with atomic_path(path) as temporary:
            temporary.write_text("half of the ne")
            raise ValueError

    with pytest.raises(ValueError):
        fail_midway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_new_file_appears_at_the_end_only(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for content in ("old", "new"):
        with atomic_path(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_path_that_cannot_be_written_is_refused_by_name(tmp_path):
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "report.html"
    assert f"Cannot write {path}" in refusal(write_text, path, "text")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_place_where_no_folder_can_be_made_is_refused(tmp_path, monkeypatch):
    """As below /proc, where making a folder fails as if its parent were missing."""

    def make(folder, *args, **options):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(folder))

    monkeypatch.setattr(Path, "mkdir", make)
    message = refusal(write_text, tmp_path / "nope" / "config.yaml", "")
    assert "config.yaml" in message and "Choose a writable folder" in message


@pytest.mark.parametrize(
    ("number", "mend"),
    [
        (errno.ENOSPC, "Free space and start again: what is done is kept."),
        (errno.EDQUOT, "Free space and start again: what is done is kept."),
        (errno.EACCES, "Choose a writable folder, or make this one writable and start again."),
        (errno.EROFS, "Choose a writable folder, or make this one writable and start again."),
    ],
)
def test_what_can_not_be_written_is_told_with_how_to_mend_it(tmp_path, number, mend):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail_midway():
        with atomic_path(path) as temporary:
            temporary.write_text("half of the ne")
            raise OSError(number, os.strerror(number))

    assert refusal(fail_midway) == f"Cannot write {path}: {os.strerror(number)}. {mend}"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_safetensors_without_room_are_refused_like_any_file(tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    path = tmp_path / "weights.safetensors"

    def save():
        with atomic_path(path) as temporary:
            save_file({"weights": np.zeros(10_000)}, temporary)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        message = refusal(save)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert message.startswith(f"Cannot write {path}: File too large. Free space")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "gone"), TimeoutError("slow")])
def test_an_error_that_is_not_about_writing_stays_what_it_is(tmp_path, error):
    with pytest.raises(type(error)), user_error_on_failed_write(tmp_path / "file.txt"):
        raise error


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    kept = [tmp_path / "file.txt", tmp_path / "below" / ".hidden"]
    for path in kept:
        write_text(path, "whole")
    for path in kept:
        half = path.with_name(f".{path.name}.xyz{PARTIAL_SUFFIX}") / path.name
        half.parent.mkdir()
        half.write_text("half of the ne")
    remove_partial_writes(tmp_path)
    remove_partial_writes(tmp_path / "missing")
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
    assert len(list(tmp_path.rglob("*"))) == 3


def test_json_is_utf8_in_the_order_given(tmp_path):
    write_json(tmp_path / "x.json", {"b": "é🦔", "a": [1]})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert text == '{\n  "b": "é🦔",\n  "a": [\n    1\n  ]\n}\n'


def test_the_content_hash_ignores_the_order_of_keys_and_nothing_else():
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": "1"}) != content_hash({"b": "1"})
    assert content_hash({"a": 1}) == "f9d86028c6e0d64e", "the same in every process"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("document", "place"),
    [
        (lambda value: {"a": {"b": [1.0, value]}}, "a.b.1"),
        (lambda value: [{"loss": value}], "0.loss"),
        (lambda value: {"figures": (0.5, value)}, "figures.1"),
    ],
)
def test_json_never_holds_what_json_does_not_have(tmp_path, document, place, value):
    write_json(tmp_path / "x.json", {"old": 1})
    before = (tmp_path / "x.json").read_text()
    line = refusal(write_json, tmp_path / "x.json", document(value))
    assert f"'{place}' = {value} is not a finite number" in line
    assert (tmp_path / "x.json").read_text() == before


def test_no_module_writes_json_but_through_the_strict_writer():
    """`json.dumps` alone writes NaN and Infinity, which no other reader of JSON takes.

    What is hashed, compared or parsed again is not written.
    """
    root = Path(saetask.__file__).parent.parent
    for path in [*root.glob("saetask/**/*.py"), *root.glob("plugins/**/*.py")]:
        for line in path.read_text(encoding="utf-8").splitlines():
            writes = re.search(r"print|write|\\n|join|json\.dump\(", line)
            if "json.dump" in line and "allow_nan=False" not in line:
                assert not writes, f"{path.relative_to(root)}: {line.strip()}"
