"""Executor on a Ray cluster: one actor with a model per worker, lost workers are replaced.

Ray is imported in `ray_cluster.py`, in `ray_training.py` and by the workers only.
"""

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.compute import ray_worker as worker
from saetask.compute.executor import Result, Shard
from saetask.compute.ray_cluster import WorkerResources, worker_capacity
from saetask.compute.ray_worker import ModelSource, differing_versions
from saetask.compute.shard_queue import ShardQueue, ShardResult, ShardTask
from saetask.errors import UserError
from saetask.models.content import model_content
from saetask.models.loading import DEFAULT_MODEL, model_device
from saetask.models.precision import model_dtype

if TYPE_CHECKING:
    from saetask.models.loading import Model

SHARDS_AHEAD = 2
"""Maximum number of finished shards per worker that wait in memory to be returned."""
MAX_FAILED_STARTS = 3
"""Number of workers lost in a row while they start at which the work is given up."""
START_SECONDS = 300
"""How long to wait for a first worker, in seconds."""


@contextmanager
def make_ray_executor(ray: Any, spec: str, model: "Model") -> Iterator["RayExecutor"]:
    """Yields an executor whose workers load the model from `spec`, and ends the workers.

    The workers start when there is work for them.
    """
    import torch

    is_path = spec != DEFAULT_MODEL and Path(spec).expanduser().exists()
    source = ModelSource(
        str(Path(spec).expanduser().resolve()) if is_path else spec,
        model_dtype(model),
        model_device(model).type,
        torch.get_num_threads(),
        worker.installed_versions(),
    )
    executor = RayExecutor(ray, source, model_content(model).hash)
    try:
        yield executor
    finally:
        executor.close()


@dataclass(eq=False)
class _Slot:
    """A worker; after a loss, the worker that replaces it."""

    actor: Any
    name: str = "a worker that was starting"
    work_key: int = 0
    """Key of the work that the worker has got."""


class RayExecutor:
    """Runs work in Ray actors; see `Executor`.

    The shard of a lost worker goes to another worker, and the lost one is replaced as soon as the
    cluster has the resources.
    """

    def __init__(self, ray: Any, source: ModelSource, fingerprint: str) -> None:
        """Prepares workers without starting them.

        Args:
            ray: The module `ray`, connected.
            source: What each worker loads.
            fingerprint: Fingerprint that the loaded model must have.
        """
        self._ray = ray
        self.source = source
        self._fingerprint = fingerprint
        self._slots: list[_Slot] = []
        self._idle: list[_Slot] = []
        self._starting: dict[Any, _Slot] = {}
        self._failed_starts = 0
        self._work_key = 0
        ray.cloudpickle.register_pickle_by_value(worker)  # see ray_worker.py
        self._resources = WorkerResources.of(source.device, source.threads)
        options = {**self._resources._asdict(), "scheduling_strategy": "SPREAD"}
        self._actor_class = ray.remote(**options)(worker.Worker)
        losses = ray.exceptions
        self._loss_errors: tuple[type[Exception], ...] = (
            losses.RayActorError,
            losses.WorkerCrashedError,
            losses.NodeDiedError,
            losses.ObjectLostError,
            losses.OutOfMemoryError,
        )
        """What Ray raises where a worker, its node or a result on it is lost."""

    def map(
        self, work: "Callable[[Model, Shard], Result]", shards: Iterable[Shard]
    ) -> Iterator[Result]:
        """Yields the result of each shard, in their order; see `Executor`.

        Raises:
            UserError: A worker has other versions or weights, or can not load the model; the
                cluster lacks the resources for a worker; or a shard has lost several workers.
        """
        shards = iter(shards)
        first = list(itertools.islice(shards, 1))
        if not first:
            return  # nothing to do: no worker is started
        self._start_workers()
        self._work_key += 1
        work_ref = self._ray.put(work)
        shards = itertools.chain(first, shards)
        queue: ShardQueue[Shard, Result] = ShardQueue(shards, SHARDS_AHEAD * len(self._slots))
        running: dict[Any, tuple[_Slot, ShardTask[Shard]]] = {}
        try:
            while True:
                yield from queue.results()
                if queue.finished:
                    return
                self._assign(queue, work_ref, running)
                if queue.ready or queue.finished:
                    continue
                ref = self._wait([*running, *self._starting], bool(running))
                if ref in self._starting:
                    self._admit(ref)
                else:
                    slot, task = running.pop(ref)
                    self._collect(ref, slot, task, queue)
        finally:
            # After an early stop workers finish their shard before they begin another.
            self._idle += [slot for slot, _ in running.values()]

    def close(self) -> None:
        """Ends all workers."""
        for slot in self._slots:
            self._kill(slot)
        self._slots, self._idle, self._starting = [], [], {}

    def _start_workers(self) -> None:
        """Starts as many workers as the cluster has resources for, unless they are started."""
        if self._slots:
            return
        capacity = worker_capacity(self._ray, self._resources)
        if not capacity:
            raise UserError(
                f"No node of the Ray cluster has {self._resources} for a worker; add nodes, or set "
                "OMP_NUM_THREADS to fewer threads a worker."
            )
        self._slots = [_Slot(None) for _ in range(capacity)]
        for slot in self._slots:
            self._start(slot)

    def _start(self, slot: _Slot) -> None:
        slot.actor, slot.work_key = self._actor_class.remote(), 0
        self._starting[slot.actor.start.remote(self.source)] = slot

    def _wait(self, refs: list[Any], anything_running: bool) -> Any:
        """Waits until one of these is done, and returns it."""
        timeout = None if anything_running else START_SECONDS
        done, _ = self._ray.wait(refs, num_returns=1, timeout=timeout)
        if not done:
            free = {k: v for k, v in self._ray.available_resources().items() if k in ("CPU", "GPU")}
            raise UserError(
                f"No worker of the Ray cluster came up in {START_SECONDS} s; free are {free}, a "
                f"worker needs {self._resources}. Free or add nodes and start again."
            )
        return done[0]

    def _assign(
        self,
        queue: ShardQueue[Shard, Result],
        work_ref: Any,
        running: dict[Any, tuple[_Slot, ShardTask[Shard]]],
    ) -> None:
        """Sends shards to the idle workers."""
        while self._idle and (task := queue.next_task()):
            slot = self._idle.pop()
            if slot.work_key != self._work_key:
                slot.actor.set_work.remote(self._work_key, work_ref)
                slot.work_key = self._work_key
            ref = slot.actor.run.remote(self._work_key, task.number, task.shard)
            running[ref] = (slot, task)

    def _collect(
        self, ref: Any, slot: _Slot, task: ShardTask[Shard], queue: ShardQueue[Shard, Result]
    ) -> None:
        """Stores the result of a shard, or re-queues the shard of a lost worker."""
        try:
            result: ShardResult[Result] = ShardResult(self._ray.get(ref))
        except self._loss_errors as error:
            _report(f"{slot.name} was lost ({type(error).__name__}); its shard goes to another")
            self._kill(slot)
            self._start(slot)
            queue.requeue(task)
            return
        except self._ray.exceptions.RayTaskError as error:
            result = ShardResult(error=_cause(error))
        self._idle.append(slot)
        queue.complete(task, result)

    def _admit(self, ref: Any) -> None:
        """Checks a worker that has started and makes it idle; replaces a lost one."""
        slot = self._starting.pop(ref)
        try:
            report = self._ray.get(ref)
        except self._loss_errors as error:
            self._kill(slot)
            self._failed_starts += 1
            if self._failed_starts >= MAX_FAILED_STARTS:
                reason = str(error).strip().splitlines()[-1]
                raise UserError(
                    f"{MAX_FAILED_STARTS} workers of the Ray cluster were lost while they started "
                    f"({reason}); look into their logs (memory, most often); if the cluster asks "
                    "for no token, set RAY_AUTH_MODE=disabled."
                ) from error
            self._start(slot)
            return
        except self._ray.exceptions.RayTaskError as error:
            raise _cause(error) from error
        check_worker(report, self.source, self._fingerprint)
        self._failed_starts = 0
        slot.name = report["name"]
        self._idle.append(slot)

    def _kill(self, slot: _Slot) -> None:
        with suppress(Exception):  # the actor or the cluster may be gone already
            self._ray.kill(slot.actor, no_restart=True)


def _cause(error: Any) -> Exception:
    """Returns the error that was raised in the worker, with its traceback as the cause."""
    cause = error.cause if isinstance(error.cause, Exception) else error
    if cause is not error:
        cause.__cause__ = error
    return cause


def _report(line: str) -> None:
    from tqdm import tqdm

    tqdm.write(f"saetask: ray: {line}", file=sys.stderr)


def check_worker(report: dict[str, Any], source: ModelSource, fingerprint: str) -> None:
    """Checks that a worker computes the same as this process.

    Args:
        report: What `Worker.start` returned.
        source: What the worker was to load.
        fingerprint: Fingerprint of this process's model.

    Raises:
        UserError: The worker's versions or weights differ, or it could not load the model.
    """
    name = report["name"]
    if problem := differing_versions(name, report["versions"], source.versions):
        raise UserError(problem)
    if problem := report.get("problem"):
        raise UserError(f"The Ray worker on {name}: {problem}")
    if report["fingerprint"] != fingerprint:
        raise UserError(
            f"The Ray worker on {name} found other weights in {source.spec}, or another tokenizer "
            f"or configuration than this process has ({report['fingerprint']}, not {fingerprint}); "
            "copy the model to every node."
        )
