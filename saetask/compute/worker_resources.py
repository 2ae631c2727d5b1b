"""What a worker takes of a cluster, and how many the cluster has room for."""

from typing import Any, NamedTuple


class WorkerResources(NamedTuple):
    """What a worker takes of a cluster."""

    num_cpus: int
    num_gpus: int

    @classmethod
    def of(cls, device: str, threads: int) -> "WorkerResources":
        """Returns a GPU and a CPU for a model on a GPU, else a CPU for each thread."""
        return cls(1, 1) if device == "cuda" else cls(threads, 0)

    def __str__(self) -> str:
        return "a GPU" if self.num_gpus else f"{self.num_cpus} CPUs"


def worker_capacity(ray: Any, needs: WorkerResources) -> int:
    """Returns how many workers a cluster has room for when it has nothing else to do."""
    room = 0
    for node in ray.nodes():
        resources = node["Resources"] if node["Alive"] else {}
        wanted = {"CPU": needs.num_cpus, "GPU": needs.num_gpus}
        room += min(int(resources.get(kind, 0) // n) for kind, n in wanted.items() if n)
    return room
