"""Connects to a Ray cluster, and counts the workers that it has resources for."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, NamedTuple

from saetask.errors import UserError


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Connects to a cluster, or starts one on this machine; yields the module `ray`.

    A program that has called `ray.init` itself keeps its cluster.

    Args:
        address: `auto` or HOST:PORT; None starts a cluster on this machine.

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
    with redirect_stdout(sys.stderr):  # Ray prints events of nodes; stdout is for results
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


class WorkerResources(NamedTuple):
    """Resources of a cluster that one worker takes."""

    num_cpus: int
    num_gpus: int

    @classmethod
    def of(cls, device: str, threads: int) -> "WorkerResources":
        """Returns a GPU and a CPU for a model on a GPU, else a CPU for each thread."""
        return cls(1, 1) if device == "cuda" else cls(threads, 0)

    def __str__(self) -> str:
        return "a GPU" if self.num_gpus else f"{self.num_cpus} CPUs"


def worker_capacity(ray: Any, resources: WorkerResources) -> int:
    """Returns the number of workers that an idle cluster has resources for."""
    wanted = {"CPU": resources.num_cpus, "GPU": resources.num_gpus}
    capacity = 0
    for node in ray.nodes():
        total = node["Resources"] if node["Alive"] else {}
        capacity += min(int(total.get(kind, 0) // n) for kind, n in wanted.items() if n)
    return capacity
