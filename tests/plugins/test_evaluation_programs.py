"""lm-evaluation-harness and inspect_ai themselves: what they write today is read as before."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from saetask.data import LogFields, read_log
from saetask.plugins import PluginRegistry
from tests.helpers.refusals import refusal

ROOT = Path(__file__).parents[2]
LOGS = ROOT / "tests" / "data" / "logs"

pytestmark = pytest.mark.slow


def needs(package):
    reason = f"{package} is not installed: pip install -c constraints.txt -e '.[evals]'"
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=reason)


def read(log, **fields):
    importers = PluginRegistry().by_name("importer")
    return list(read_log(log, "auto", LogFields(**fields), importers))


def make_logs(program, folder):
    offline = {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.data.logs.make_logs", program, str(folder)]
    done = subprocess.run(
        command, env={**os.environ, **offline}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def lm_eval_logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm-eval")
    make_logs("lm-eval", folder)
    return folder


@pytest.fixture(scope="module")
def inspect_logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inspect")
    make_logs("inspect", folder)
    return folder


@needs("lm_eval")
@pytest.mark.parametrize(
    ("folder", "task", "fields"),
    [
        ("text", "choice", {"metric": "acc"}),
        ("text", "words", {"filter": "number"}),
        ("text", "cloze", {}),
        ("template", "words", {"filter": "whole"}),
        ("chat", "words", {"filter": "whole"}),
    ],
)
def test_new_samples_of_lm_eval_hold_the_prompts_of_the_stored_ones(
    lm_eval_logs, folder, task, fields
):
    (new,) = (lm_eval_logs / folder).glob(f"samples_tiny_{task}_*")
    (old,) = (LOGS / "lm-eval" / folder).glob(f"samples_tiny_{task}_*")
    now, before = read(new, **fields), read(old, **fields)
    assert [(i.id, i.prompt, i.group) for i in now] == [(i.id, i.prompt, i.group) for i in before]
    assert all(item.correct is not None for item in now)
    if folder == "chat":  # the server always says the same
        assert [(i.output, i.correct) for i in now] == [(i.output, i.correct) for i in before]


@needs("inspect_ai")
@pytest.mark.parametrize("stored", [True, False], ids=["stored", "new"])
def test_a_log_of_inspect_is_the_same_as_archive_and_as_json(stored, request, tmp_path):
    from inspect_ai.log import read_eval_log, write_eval_log  # pyright: ignore

    folder = LOGS / "inspect" if stored else request.getfixturevalue("inspect_logs")
    archive, document = folder / "questions.eval", tmp_path / "questions.json"
    write_eval_log(read_eval_log(str(archive)), str(document))
    items = read(archive, metric="match", group_field="subject")
    assert items == read(document, metric="match", group_field="subject")
    assert [i.id for i in items] == ["1", "2", "3"]
    first = items[0]
    assert first.prompt.messages == [
        {"role": "system", "content": "Answer with a number."},
        {"role": "user", "content": "Tom had 5 pears and gave 2 away. How many?"},
    ]
    assert {first.output, *first.samples} == {"3", "about 7"}
    assert (first.correct, first.group, first.target) == (0.5, "giving", "3")
    assert [i.correct for i in read(folder / "questions.json", metric="length")] == [0.125, 0.875]


@needs("inspect_ai")
def test_a_folder_of_logs_of_inspect_is_all_its_tasks(tmp_path):
    from inspect_ai.log import read_eval_log, write_eval_log  # pyright: ignore

    log = read_eval_log(str(LOGS / "inspect" / "questions.eval"))
    write_eval_log(log, str(tmp_path / "one.eval"))
    first, log.eval.task = log.eval.task, "more"
    write_eval_log(log, str(tmp_path / "two.json"))
    items = read(tmp_path, metric="match")
    assert [item.id for item in items] == [f"{t}/{i}" for t in (first, "more") for i in (1, 2, 3)]
    log.eval.model = "another"
    write_eval_log(log, str(tmp_path / "two.json"))
    assert "has logs of the models" in refusal(read, tmp_path, metric="match")


@needs("inspect_ai")
def test_a_log_of_inspect_that_is_damaged_or_large_is_one_line(tmp_path, monkeypatch):
    from saetask_plugins.importers import inspect_log

    for name, content in {
        "torn.eval": (LOGS / "inspect" / "questions.eval").read_bytes()[:9000],
        "torn.json": (LOGS / "inspect" / "questions.json").read_bytes()[:9000],
    }.items():
        (tmp_path / name).write_bytes(content)
        message = refusal(read, tmp_path / name, metric="match")
        assert message.startswith(f"{tmp_path / name}: cannot be read as a log of inspect_ai")
    empty = json.loads((LOGS / "inspect" / "questions.json").read_text())
    (tmp_path / "empty.json").write_text(json.dumps({**empty, "samples": []}))
    assert "holds no items" in refusal(read, tmp_path / "empty.json", metric="match")
    monkeypatch.setattr(inspect_log, "LARGEST_JSON", 1000)
    message = refusal(read, LOGS / "inspect" / "questions.json", metric="match")
    assert "inspect log convert" in message
