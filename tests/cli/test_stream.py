"""`detect --file`: a line in, a line out at once, and nothing of it kept."""

import errno
import gc
import json
import os
import sys
import tracemalloc

import pytest

import saetask.session
from saetask.cli.main import main
from saetask.session import Detection
from tests.helpers.probe_choices import use_fit_items, use_settings

pytestmark = pytest.mark.usefixtures("few_choices")


class Output:
    """Stands for standard output: keeps nothing, and looks around after so many lines."""

    def __init__(self, every, look) -> None:
        self.seen = []
        self._every, self._look = every, look
        self._n_lines = self._n_flushed = 0

    def isatty(self) -> bool:
        return False

    def write(self, text) -> None:
        assert self._n_flushed == self._n_lines, "a line waits for the next one"
        self._n_lines += text.count("\n")

    def flush(self) -> None:
        if self._n_lines > self._n_flushed and self._n_lines % self._every == 0:
            self.seen.append(self._look())
        self._n_flushed = self._n_lines


class EchoSession:
    """Finds nothing, whatever it is asked."""

    def __init__(self, *arguments, **options) -> None:
        pass

    def detect(self, text, target):
        return Detection(text, "literal", "literal", 0.5, [])


@pytest.fixture
def prompts(tmp_path):
    """Returns a function that writes a file of so many prompts."""

    def write(n):
        path = tmp_path / "prompts.jsonl"
        with path.open("w") as file:
            for i in range(n):
                file.write(json.dumps({"prompt": f"Ship {i} sailed.", "target": "sailed"}) + "\n")
        return str(path)

    return write


def test_a_stream_of_prompts_takes_no_more_memory_at_its_end(prompts, monkeypatch) -> None:
    def peak():
        _, found = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        return found

    output = Output(500, peak)
    monkeypatch.setattr(saetask.session, "Session", EchoSession)
    monkeypatch.setattr(sys, "stdout", output)
    tracemalloc.start()
    try:
        assert main(["detect", "--file", prompts(2500)]) == 0
    finally:
        tracemalloc.stop()
    _, first, *_, last = output.seen  # the very first lines import what they need
    assert last < first + 10_000  # 500 documents alone are larger


def test_a_session_keeps_nothing_of_the_prompts_of_a_stream(
    prompts, tiny_model_folder, tiny_sae_folder, tmp_path, monkeypatch
) -> None:
    def alive():
        gc.collect()
        return len(gc.get_objects())

    use_fit_items(monkeypatch, 36)
    use_settings(monkeypatch, note_samples=8)
    monkeypatch.setenv("SAETASK_CACHE", str(tmp_path / "cache"))
    output = Output(50, alive)
    monkeypatch.setattr(sys, "stdout", output)
    pair = ["--model", str(tiny_model_folder), "--sae", str(tiny_sae_folder)]
    assert main(["detect", "--file", prompts(200), *pair]) == 0
    _, before, _, after = output.seen
    assert after < before + 50  # one object for each second prompt


class TaskSession(EchoSession):
    """Answers with the task that it was made for, and the model that it was given."""

    made = 0

    def __init__(self, model, sae, task, **options) -> None:
        type(self).made += 1
        self.model, self.sae, self.task = f"the model of {model}", sae, task

    def detect(self, text, target):
        return Detection(text, f"{self.task} on {self.model}", "literal", 0.5, [])


MIXED = [
    {"prompt": "Ann has 7 figs and eats 2. How many?"},
    {"prompt": "The ship sailed.", "target": "sailed"},
    {"prompt": "Ann has 3 figs and eats 2. How many?"},
]


@pytest.fixture
def mixed(items_file, monkeypatch):
    """A file of prompts whose rows are of two tasks."""
    monkeypatch.setattr(saetask.session, "Session", TaskSession)
    TaskSession.made = 0
    return str(items_file(*MIXED, name="prompts.jsonl"))


def test_every_row_is_of_its_own_task_whichever_comes_first(mixed, capsys) -> None:
    assert main(["detect", "--file", mixed, "--model", "m"]) == 0
    answers = [json.loads(line)["answer"] for line in capsys.readouterr().out.splitlines()]
    assert [answer.split(" on ")[0] for answer in answers] == [
        "word-problems",
        "metaphor",
        "word-problems",
    ]
    assert answers[1] == "metaphor on the model of the model of m", "it is loaded once"
    assert TaskSession.made == 2


def test_a_named_task_is_that_of_every_row(mixed, capsys) -> None:
    assert main(["detect", "--file", mixed, "--task", "metaphor"]) == 2
    assert "prompts.jsonl:1: The metaphor task needs the verb" in capsys.readouterr().err
    assert TaskSession.made == 0


def test_items_of_one_task_are_not_fitted_on_for_another_rows(mixed, items_file, capsys) -> None:
    items = str(items_file({"id": 1, "question": "1 and 2?", "answer": 3}))
    assert main(["detect", "--file", mixed, "--data", items]) == 2
    error = capsys.readouterr().err
    assert "prompts.jsonl:2: this row is of the task metaphor, but --data has" in error
    assert TaskSession.made == 0


def test_an_output_without_room_is_told_in_one_line(prompts, monkeypatch, capsys) -> None:
    def full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(saetask.session, "Session", EchoSession)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Output(2, full))
        assert main(["detect", "--file", prompts(3)]) == 2
    assert capsys.readouterr().err == (
        "saetask: Cannot write standard output: No space left on device. "
        "Free space and start again: what is done is kept.\n"
    )
