"""What runs in the process of a worker: the model, loaded once, and the work on its shards.

Or its part of a work that several workers do together.

This file is sent to the workers as it is here. So it imports nothing of saetask at its head: a
worker with another version of saetask, or with none, must be able to say so.
"""

import os
import socket
import sys
import time
from typing import Any, NamedTuple

PACKAGES = ("torch", "transformers", "transformer-lens", "sae-lens", "tokenizers", "numpy")
"""Packages that a result can depend on to its last bit, beside saetask itself."""


class ModelSource(NamedTuple):
    """Where a worker takes its model from, and how it runs it."""

    spec: str
    """As `saetask.load_model` takes it."""
    dtype: str
    device: str
    threads: int
    """Threads of one worker; their number can change the last bits of a sum."""
    versions: dict[str, str]
    """What must be installed, as `installed_versions` tells it."""


class Worker:
    """Holds one model and does work on one shard at a time."""

    def __init__(self) -> None:
        self._model: Any = None
        self._work: tuple[int, Any] = (0, None)

    def start(self, source: ModelSource) -> dict[str, Any]:
        """Loads the model, unless the versions differ; returns who this is and what it found."""
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        os.environ["TRANSFORMERS_VERBOSITY"] = "error"
        found: dict[str, Any] = {
            "name": _name(),
            "versions": installed_versions(),
        }
        if found["versions"] != source.versions:
            return found
        import torch

        from saetask.errors import UserError
        from saetask.models.loading import load_model, model_fingerprint

        torch.set_num_threads(source.threads)
        try:
            dtype = getattr(torch, source.dtype)
            self._model = load_model(source.spec, dtype=dtype, device=source.device)
        except UserError as error:
            return {**found, "problem": str(error)}
        _log(f"{found['name']}: {source.spec} on {source.device}, {source.threads} threads")
        return {**found, "fingerprint": model_fingerprint(self._model)}

    def take(self, key: int, work: Any) -> None:
        """Takes the work that the next shards are for."""
        self._work = (key, work)

    def run(self, key: int, number: int, shard: Any) -> Any:
        """Works on a shard."""
        taken, work = self._work
        if taken != key:
            raise RuntimeError(f"This worker has work {taken}, not {key}.")
        started = time.monotonic()
        result = work(self._model, shard)
        _log(f"work {key}, shard {number}: {time.monotonic() - started:.2f} s")
        return result


class WorkPayload(NamedTuple):
    """A work that several workers do together, as it is sent."""

    work: bytes
    """A function of the worker's rank and of how many there are, pickled: a worker with other
    versions must not unpickle it."""
    threads: int
    versions: dict[str, str]


def run_rank(config: dict[str, WorkPayload]) -> None:
    """Does this worker's part of a work; Ray Train has brought the workers together.

    Raises:
        ImportError: The versions differ. (An error of saetask's own may not be known here.)
    """
    parcel = config["parcel"]
    if problem := differing_versions(_name(), installed_versions(), parcel.versions):
        raise ImportError(problem)
    import torch
    from ray import cloudpickle

    torch.set_num_threads(parcel.threads)
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    _log(f"{_name()}: rank {rank} of {size}, {parcel.threads} threads")
    cloudpickle.loads(parcel.work)(rank, size)


def differing_versions(name: str, found: dict[str, str], wanted: dict[str, str]) -> str | None:
    """Returns what is wrong with a worker's versions, in a line; None if nothing is."""
    for package, version in wanted.items():
        if found.get(package, "not installed") != version:
            return (
                f"The Ray worker on {name} has {package} {found.get(package, 'not installed')}, "
                f"this process {version}; install the same on every node."
            )
    return None


def installed_versions() -> dict[str, str]:
    """Returns the versions of what is installed here; of saetask, with a hash of its source."""
    import hashlib
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec
    from pathlib import Path

    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    spec = find_spec("saetask")
    if spec is None or spec.origin is None:
        return {"saetask": "not installed", **found}
    folder, digest = Path(spec.origin).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return {"saetask": f"{version('saetask')} ({digest.hexdigest()[:8]})", **found}


def _name() -> str:
    return f"{socket.gethostname()}, process {os.getpid()}"


def _log(line: str) -> None:
    """Writes to the worker's own log file, which Ray makes of its stderr."""
    print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)
