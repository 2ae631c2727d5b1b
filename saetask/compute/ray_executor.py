"""The engine of a Ray cluster: an actor with a model each, and lost ones replaced.

Ray is imported here, in `together.py`, and by the workers.
"""

import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.compute import ray_worker as worker
from saetask.compute.executor import Result, Shard
from saetask.compute.ray_worker import ModelSource, differing_versions
from saetask.compute.shard_queue import ShardQueue, ShardResult, ShardTask
from saetask.compute.worker_resources import WorkerResources, worker_capacity
from saetask.errors import UserError
from saetask.models.loading import DEFAULT_MODEL, model_device, model_fingerprint

if TYPE_CHECKING:
    from saetask.models.loading import Model

SHARDS_AHEAD = 2
"""Shards a worker that may be done before their turn; more would wait in memory."""
MOST_FAILED_STARTS = 3
"""Workers that may die while they start, one after another."""
START_SECONDS = 300
"""How long to wait for a worker when there is none."""


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Connects to a cluster, or starts one on this machine; yields the module `ray`.

    A program that has called `ray.init` itself keeps its cluster.

    Raises:
        UserError: No cluster answers there.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address is None:
        options["include_dashboard"] = False
    with redirect_stdout(sys.stderr):  # Ray prints what happens to nodes; stdout is for results
        try:
            ray.init(address=address or "local", **options)
        except (ConnectionError, RuntimeError, ValueError, AssertionError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"Cannot join the Ray cluster at {address or 'this machine'}: {reason} "
                "Start one (ray start --head), or leave --address out; if it asks for a token, set "
                "RAY_AUTH_MODE=token."
            ) from error
        try:
            yield ray
        finally:
            ray.shutdown()


@contextmanager
def make_ray_executor(ray: Any, spec: str, model: "Model") -> Iterator["RayExecutor"]:
    """Yields an engine whose workers load the model from `spec`, and ends them.

    Its workers start when there is work for them.
    """
    import torch

    known = spec != DEFAULT_MODEL and Path(spec).expanduser().exists()
    source = worker.ModelSource(
        str(Path(spec).expanduser().resolve()) if known else spec,
        str(next(model.parameters()).dtype).removeprefix("torch."),
        model_device(model).type,
        torch.get_num_threads(),
        worker.installed_versions(),
    )
    engine = RayExecutor(ray, source, model_fingerprint(model))
    try:
        yield engine
    finally:
        engine.close()


@dataclass(eq=False)
class _Place:
    """A worker's place, held by another worker after a loss."""

    actor: Any
    name: str = "a worker that was starting"
    key: int = 0
    """Of the work that the worker has taken."""


class RayExecutor:
    """Runs work in Ray actors; see `Executor`.

    A worker that is lost costs the shard it had, which goes to another, and is replaced as soon as
    the cluster has room.
    """

    def __init__(self, ray: Any, source: worker.ModelSource, fingerprint: str) -> None:
        """Takes the connected module `ray`, and what each worker must load."""
        self._ray = ray
        self.source = source
        self._fingerprint = fingerprint
        self._places: list[_Place] = []
        self._idle: list[_Place] = []
        self._starting: dict[Any, _Place] = {}
        self._failed_starts = 0
        self._key = 0
        # By value: see worker.py.
        ray.cloudpickle.register_pickle_by_value(worker)
        self._needs = WorkerResources.of(source.device, source.threads)
        options = {**self._needs._asdict(), "scheduling_strategy": "SPREAD"}
        self._actor = ray.remote(**options)(worker.Worker)

    def map(
        self, work: "Callable[[Model, Shard], Result]", shards: Iterable[Shard]
    ) -> Iterator[Result]:
        """Yields the result of each shard, in their order; see `Executor`.

        Raises:
            UserError: A worker has other versions or weights, or can not load the model; the
                cluster has no room for one; or a shard has lost several workers.
        """
        shards = iter(shards)
        first = list(itertools.islice(shards, 1))
        if not first:
            return  # where all is known already, no worker is needed
        self._open()
        self._key += 1
        sent = self._ray.put(work)
        shards = itertools.chain(first, shards)
        turns: ShardQueue[Shard, Result] = ShardQueue(shards, SHARDS_AHEAD * len(self._places))
        running: dict[Any, tuple[_Place, ShardTask[Shard]]] = {}
        try:
            while True:
                yield from turns.deliver()
                if turns.finished:
                    return
                self._hand_out(turns, sent, running)
                if turns.ready or turns.finished:
                    continue
                ref = self._next([*running, *self._starting], bool(running))
                if ref in self._starting:
                    self._welcome(ref)
                else:
                    place, task = running.pop(ref)
                    self._take_back(ref, place, task, turns)
        finally:
            # Whoever stops early leaves shards behind; a worker finishes its own before the next.
            self._idle += [place for place, _ in running.values()]

    def close(self) -> None:
        """Ends all workers."""
        for place in self._places:
            self._end(place)
        self._places, self._idle, self._starting = [], [], {}

    def _open(self) -> None:
        """Starts as many workers as the cluster has room for."""
        if self._places:
            return
        room = worker_capacity(self._ray, self._needs)
        if not room:
            raise UserError(
                f"No node of the Ray cluster has {self._needs} for a worker; add nodes, or set "
                "OMP_NUM_THREADS to fewer threads a worker."
            )
        self._places = [_Place(None) for _ in range(room)]
        for place in self._places:
            self._start(place)

    def _start(self, place: _Place) -> None:
        place.actor, place.key = self._actor.remote(), 0
        self._starting[place.actor.start.remote(self.source)] = place

    def _next(self, refs: list[Any], anything_running: bool) -> Any:
        """Waits until one of these is done, and returns it."""
        timeout = None if anything_running else START_SECONDS
        done, _ = self._ray.wait(refs, num_returns=1, timeout=timeout)
        if not done:
            free = {k: v for k, v in self._ray.available_resources().items() if k in ("CPU", "GPU")}
            raise UserError(
                f"No worker of the Ray cluster came up in {START_SECONDS} s; free are {free}, a "
                f"worker needs {self._needs}. Free or add nodes and start again."
            )
        return done[0]

    def _hand_out(
        self,
        turns: ShardQueue[Shard, Result],
        sent: Any,
        running: dict[Any, tuple[_Place, ShardTask[Shard]]],
    ) -> None:
        while self._idle and (task := turns.hand_out()):
            place = self._idle.pop()
            if place.key != self._key:
                place.actor.take.remote(self._key, sent)
                place.key = self._key
            ref = place.actor.run.remote(self._key, task.number, task.shard)
            running[ref] = (place, task)

    def _take_back(
        self, ref: Any, place: _Place, task: ShardTask[Shard], turns: ShardQueue[Shard, Result]
    ) -> None:
        """Takes a result, or the shard of a lost worker."""
        try:
            outcome: ShardResult[Result] = ShardResult(self._ray.get(ref))
        except self._losses() as error:
            _say(f"{place.name} was lost ({type(error).__name__}); its shard goes to another")
            self._end(place)
            self._start(place)
            turns.lost(task)
            return
        except self._ray.exceptions.RayTaskError as error:
            outcome = ShardResult(error=_cause(error))
        self._idle.append(place)
        turns.done(task, outcome)

    def _welcome(self, ref: Any) -> None:
        """Takes a started worker in, if it is as it must be."""
        place = self._starting.pop(ref)
        try:
            found = self._ray.get(ref)
        except self._losses() as error:
            self._end(place)
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                reason = str(error).strip().splitlines()[-1]
                raise UserError(
                    f"{MOST_FAILED_STARTS} workers of the Ray cluster were lost while they started "
                    f"({reason}); look into their logs (memory, most often); if the cluster asks "
                    "for no token, set RAY_AUTH_MODE=disabled."
                ) from error
            self._start(place)
            return
        except self._ray.exceptions.RayTaskError as error:
            raise _cause(error) from error
        check_worker(found, self.source, self._fingerprint)
        self._failed_starts = 0
        place.name = found["name"]
        self._idle.append(place)

    def _losses(self) -> tuple[type[Exception], ...]:
        """Returns what Ray raises where a worker, its node or a result on it is gone."""
        known = self._ray.exceptions
        return (
            known.RayActorError,
            known.WorkerCrashedError,
            known.NodeDiedError,
            known.ObjectLostError,
            known.OutOfMemoryError,
        )

    def _end(self, place: _Place) -> None:
        with suppress(Exception):  # gone already, or the cluster is
            self._ray.kill(place.actor, no_restart=True)


def _cause(error: Any) -> Exception:
    """Returns what was raised in the worker, its traceback behind it."""
    cause = error.cause if isinstance(error.cause, Exception) else error
    if cause is not error:
        cause.__cause__ = error
    return cause


def _say(line: str) -> None:
    from tqdm import tqdm

    tqdm.write(f"saetask: ray: {line}", file=sys.stderr)


def check_worker(found: dict[str, Any], source: ModelSource, fingerprint: str) -> None:
    """Refuses a worker that would compute something else.

    Args:
        found: What `Worker.start` returned.
        source: What the worker was to load.
        fingerprint: Of the model of this process.

    Raises:
        UserError: Its versions or its weights are others, or it could not load the model.
    """
    name = found["name"]
    if problem := differing_versions(name, found["versions"], source.versions):
        raise UserError(problem)
    if problem := found.get("problem"):
        raise UserError(f"The Ray worker on {name}: {problem}")
    if found["fingerprint"] != fingerprint:
        raise UserError(
            f"The Ray worker on {name} found other weights in {source.spec} than this process has "
            f"({found['fingerprint']}, not {fingerprint}); copy the model to every node."
        )
