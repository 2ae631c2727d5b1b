"""Killed at any moment, or out of room: the next start goes on, and ends with the same bytes."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.disturbed_jobs import Ended, Order

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "tests" / "helpers" / "disturbed_jobs.py"
SIGHTS = {
    "harvest": "activations-00000.safetensors",
    "train": "work/checkpoint.safetensors",
    "dictionary": "work/tally-1.safetensors",
    "run": "answers.jsonl",
}
"""What is there once a piece of each job is done."""


class Jobs:
    """Has jobs done by processes of their own."""

    def __init__(self, process) -> None:
        self._process = process

    def do(self, job: str, out: Path, **disturbed) -> Ended:
        order = Order(job, str(out), **disturbed)
        self._process.stdin.write(json.dumps(vars(order)) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


@pytest.fixture(scope="module")
def jobs(tiny_model_folder, tiny_sae_folder, tmp_path_factory):
    texts = tmp_path_factory.mktemp("texts")
    lines = [f"Text {i}. " + f"the {i} boats sail at dawn and return. " * 20 for i in range(250)]
    rows = "".join(json.dumps({"text": line}) + "\n" for line in lines)
    (texts / "texts.jsonl").write_text(rows)
    command = [
        sys.executable,
        str(SCRIPT),
        str(tiny_model_folder),
        str(tiny_sae_folder),
        str(texts),
    ]
    settings = {
        "PYTHONPATH": str(REPOSITORY),  # for `tests.helpers`, which is not installed
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **settings},
    ) as process:
        assert process.stdout.readline() == "\n"  # loaded
        yield Jobs(process)
        process.stdin.close()


class Undisturbed(NamedTuple):
    """A job that was done in one go."""

    job: str
    contents: dict[str, bytes]
    seconds: float
    n_writes: int


@pytest.fixture(scope="module", params=SIGHTS)
def undisturbed(request, jobs, tmp_path_factory) -> Undisturbed:
    out = tmp_path_factory.mktemp("whole") / "out"
    ended = jobs.do(request.param, out)
    assert ended.exit_code == 0, ended.report
    return Undisturbed(request.param, contents(out), ended.seconds, int(ended.report))


def contents(folder: Path) -> dict[str, bytes]:
    """Returns every file and folder below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


def assert_done(jobs: Jobs, whole: Undisturbed, out: Path) -> None:
    """Starts a job again, now undisturbed, and compares all that it leaves."""
    ended = jobs.do(whole.job, out)
    assert ended.exit_code == 0, ended.report
    found = contents(out)
    assert list(found) == list(whole.contents)
    assert [name for name in found if found[name] != whole.contents[name]] == []


def test_a_job_killed_again_and_again_ends_with_the_bytes_of_an_undisturbed_one(
    jobs, undisturbed, tmp_path
) -> None:
    job, out, chance = undisturbed.job, tmp_path / "out", random.Random(undisturbed.job)
    assert jobs.do(job, out, change=chance.randint(1, 3)).killed
    assert jobs.do(job, out, sight=SIGHTS[job]).killed
    jobs.do(job, out, change=chance.randint(10, 30))
    jobs.do(job, out, seconds=chance.uniform(0, undisturbed.seconds))
    assert_done(jobs, undisturbed, out)


def test_a_full_disk_is_told_in_one_line_and_the_job_goes_on_once_there_is_room(
    jobs, undisturbed, tmp_path
) -> None:
    out, room = tmp_path / "out", undisturbed.n_writes // 2
    ended = jobs.do(undisturbed.job, out, room=room)
    assert ended.exit_code == 2, ended.report
    assert ended.report.startswith(f"Cannot write {out}/")
    assert ended.report.endswith(
        ": No space left on device. Free space and start again: what is done is kept."
    )
    assert not [path for path in out.rglob(".*")]
    assert_done(jobs, undisturbed, out)
