"""Does long work in processes of their own, and disturbs them: what `test_killed.py` drives.

    python disturbed_jobs.py MODEL SAE TEXTS

Everything is imported and loaded once; then each JSON line of stdin is an order, done by a fork
and answered by a JSON line on stdout. Works on one thread: threads do not outlive a fork.
"""

import errno
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

HOOK_NAME = "blocks.2.hook_resid_post"
CHANGES = {"os.mkdir": 0, "os.rename": 1, "os.remove": 0, "os.truncate": 0}
"""Audit events that change a file, and which of their arguments names it."""
ARMS = ["original", "self", "saetask"]


@dataclass(frozen=True)
class Order:
    """Something to do, and how it is disturbed."""

    job: str
    out: str
    sight: str | None = None
    """Killed as soon as the output folder has such a file (a glob pattern)."""
    change: int | None = None
    """Killed just before it opens, renames or removes a file of that folder for the n-th time."""
    seconds: float = 60.0
    """Killed after so long at the latest."""
    room: int | None = None
    """There is room for so many writes on the disk."""


class Ended(NamedTuple):
    """How it ended."""

    killed: bool
    exit_code: int
    seconds: float
    report: str
    """The number of writes; of a job that was refused something, the refusal."""


Job = Callable[[Path], object]


def carried_out(job: Job, order: Order) -> Ended:
    """Has a fork do a job, disturbed as ordered."""
    started = time.monotonic()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_the_fork(job, order, writing)
    os.close(writing)
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        late = time.monotonic() - started > order.seconds
        if late or (order.sight and any(Path(order.out).glob(order.sight))):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
    seconds = time.monotonic() - started
    with os.fdopen(reading) as report:
        code = os.waitstatus_to_exitcode(ended[1])
        return Ended(code == -signal.SIGKILL, code, seconds, report.read())


def _be_the_fork(job: Job, order: Order, report: int) -> None:
    from saetask import UserError

    code = 1
    try:
        if order.change is not None:
            die_at(order.change, order.out)
        disk = Disk(order.room)
        disk.mount()
        job(Path(order.out))
        os.write(report, str(disk.n_writes).encode())
        code = 0
    except UserError as error:
        os.write(report, str(error).encode())
        code = 2
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def die_at(number: int, folder: str) -> None:
    """Has this process kill itself just before its n-th change of a file in a folder."""
    left = number

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event == "open":
            changes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            path = arguments[0]
        elif changes := event in CHANGES:
            path = arguments[CHANGES[event]]
        if changes and str(path).startswith(folder):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


class Disk:
    """A disk with room for so many writes; whole files are written by renaming them."""

    def __init__(self, room: int | None) -> None:
        self.n_writes = 0
        self._room = room

    def mount(self) -> None:
        """Has every path write to this disk."""
        really_replace, really_open = Path.replace, Path.open

        def replace(path: Path, target: Path) -> Path:
            self._write()
            return really_replace(path, target)

        def open_(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            file = really_open(path, mode, *args, **kwargs)
            if "a" in mode:
                file.write = self._appending(file)
            return file

        Path.replace, Path.open = replace, open_

    def _write(self) -> None:
        self.n_writes += 1
        if self._room is not None and self.n_writes > self._room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _appending(self, file: Any) -> Callable[[Any], int]:
        """Returns what appends to a file; where there is no room, the first half."""
        really_write = file.write

        def write(content: Any) -> int:
            try:
                self._write()
            except OSError:
                really_write(content[: len(content) // 2])
                file.flush()
                raise
            return really_write(content)

        return write


def main(model_folder: str, sae_folder: str, texts: str) -> None:
    jobs = make_jobs(model_folder, sae_folder, Path(texts))
    print(flush=True)
    for line in sys.stdin:
        order = Order(**json.loads(line))
        print(json.dumps(carried_out(jobs[order.job], order)._asdict()), flush=True)


def make_jobs(model_folder: str, sae_folder: str, texts: Path) -> dict[str, Job]:
    """Loads a model and an SAE, and returns what can be done with them, by name."""
    import datasets  # noqa: F401 -- once, before the forks
    import pyarrow.parquet  # noqa: F401
    import pytest
    import sklearn.linear_model  # noqa: F401
    import torch
    from tqdm import tqdm

    import saetask
    from saetask.data.corpus import CorpusConfig, Source
    from saetask.detection import ProbeConfig
    from saetask.detection.baselines import dense_probe
    from saetask.dictionary.collect import corpus_pass as build
    from saetask.dictionary.label import build as making
    from saetask.experiments import config as run_config
    from saetask.experiments import run as runs
    from saetask.experiments import run_inputs
    from saetask.experiments.context import ExperimentSettings
    from saetask.training import runner as training
    from saetask.training.config import HarvestConfig
    from saetask.training.harvest import harvest
    from saetask_plugins.labelers.keywords import Keywords
    from tests.helpers.probe_choices import use_probe_config

    class SlowKeywords(Keywords):
        """Its labels are kept as they come, as a language model's are."""

        workers = 1

    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own is shared by forks, and a killed one keeps it
    model, sae = saetask.load_model(model_folder), saetask.load_sae(sae_folder)
    training.load_model = run_inputs.load_model = lambda spec, **_: model
    run_inputs.load_sae = lambda spec: sae
    runs.time = SimpleNamespace(monotonic=float)  # runs take no time: `seconds` may not differ
    build.ROWS_PER_SHARD = 64
    # As in the fixture `few_choices`, and fewer still.
    probe_config = ProbeConfig((("text",),), (("l2", 0.03),))
    use_probe_config(pytest.MonkeyPatch(), probe_config)
    settings = ExperimentSettings(
        note_samples=4,
        self_note_tokens=4,
        make_baselines=lambda: [dense_probe(probe_config)],
    )

    corpus = CorpusConfig(
        [Source("texts.jsonl")], context_size=32, test_share=0.2, selection_share=0.2
    )
    activations = HarvestConfig(HOOK_NAME, tokens=6000, corpus=corpus, rows_per_shard=16)
    recipe = training.TrainConfig(
        harvest=activations,
        model=model_folder,
        d_sae=64,
        options={"k": 4},
        samples=64 * 170,  # ends between two checkpoints
        batch_size=64,
        test_tokens=500,
        checkpoint_steps=40,
        dead_after_samples=64 * 4,
    )
    dictionary = build.BuildConfig(corpus, tokens=6_000, sample_rows=100)
    experiment = run_config.RunConfig(
        "metaphor", model=model_folder, sae=sae_folder, arms=ARMS, limit=48, folds=2
    )
    return {
        "harvest": lambda out: harvest(model, activations, out, texts),
        "train": lambda out: training.train(recipe, out, texts),
        "dictionary": lambda out: making.build(model, sae, dictionary, SlowKeywords(), out, texts),
        "run": lambda out: runs.run(experiment, out=out, settings=settings),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
