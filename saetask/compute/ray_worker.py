"""Code that runs in a Ray worker: an actor with a model, and one rank of a distributed work.

This module is sent to the workers by value. It imports nothing of saetask at its head, so that a
worker with another version of saetask, or with none, can report that.
"""

import os
import socket
import sys
import time
from typing import Any, NamedTuple

PACKAGES = ("torch", "transformers", "transformer-lens", "sae-lens", "tokenizers", "numpy")
"""Packages, beside saetask, that the last bits of a result can depend on."""


class ModelSource(NamedTuple):
    """The model that a worker loads, and how it runs it."""

    spec: str
    """As `saetask.load_model` takes it."""
    dtype: str
    """Name of a torch dtype, such as `float32`."""
    device: str
    """`cpu` or `cuda`."""
    threads: int
    """Number of threads of one worker, which can change the last bits of a sum."""
    versions: dict[str, str]
    """Versions that must be installed; see `installed_versions`."""


class Worker:
    """Actor that holds one model and runs work on one shard at a time."""

    def __init__(self) -> None:
        self._model: Any = None
        self._work: tuple[int, Any] = (0, None)

    def start(self, source: ModelSource) -> dict[str, Any]:
        """Loads the model, unless the versions differ.

        Returns:
            `name` and `versions` of the worker and, if they do not differ, the model's
            `fingerprint` or the `problem` with loading it.
        """
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        os.environ["TRANSFORMERS_VERBOSITY"] = "error"
        report: dict[str, Any] = {"name": _name(), "versions": installed_versions()}
        if report["versions"] != source.versions:
            return report
        import torch

        from saetask.errors import UserError
        from saetask.models.content import model_content
        from saetask.models.loading import load_model

        torch.set_num_threads(source.threads)
        try:
            dtype = getattr(torch, source.dtype)
            self._model = load_model(source.spec, dtype=dtype, device=source.device)
        except UserError as error:
            return {**report, "problem": str(error)}
        _log(f"{report['name']}: {source.spec} on {source.device}, {source.threads} threads")
        return {**report, "fingerprint": model_content(self._model).hash}

    def set_work(self, key: int, work: Any) -> None:
        """Sets the function that the next shards are given to."""
        self._work = (key, work)

    def run(self, key: int, number: int, shard: Any) -> Any:
        """Returns the result of the work of this key on a shard.

        Raises:
            RuntimeError: The worker has another work.
        """
        own_key, work = self._work
        if own_key != key:
            raise RuntimeError(f"This worker has work {own_key}, not {key}.")
        started = time.monotonic()
        result = work(self._model, shard)
        _log(f"work {key}, shard {number}: {time.monotonic() - started:.2f} s")
        return result


class WorkPayload(NamedTuple):
    """A distributed work as it is sent to the workers."""

    work: bytes
    """A pickled function of the worker's rank and the number of workers. Pickled apart, because a
    worker with other versions must not unpickle it."""
    threads: int
    """Number of threads of one worker."""
    versions: dict[str, str]
    """Versions that must be installed; see `installed_versions`."""


def run_rank(config: dict[str, WorkPayload]) -> None:
    """Runs a distributed work as one rank of the process group that Ray Train has set up.

    Raises:
        ImportError: The versions differ. (A worker without saetask has no `UserError`.)
    """
    payload = config["payload"]
    if problem := differing_versions(_name(), installed_versions(), payload.versions):
        raise ImportError(problem)
    import torch
    from ray import cloudpickle

    torch.set_num_threads(payload.threads)
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    _log(f"{_name()}: rank {rank} of {size}, {payload.threads} threads")
    cloudpickle.loads(payload.work)(rank, size)


def differing_versions(name: str, installed: dict[str, str], wanted: dict[str, str]) -> str | None:
    """Returns an error line on the first version of a worker that differs; None if none does."""
    for package, version in wanted.items():
        own = installed.get(package, "not installed")
        if own != version:
            return (
                f"The Ray worker on {name} has {package} {own}, "
                f"this process {version}; install the same on every node."
            )
    return None


def installed_versions() -> dict[str, str]:
    """Returns the installed versions of `PACKAGES` and, with a hash of its source, of saetask."""
    import hashlib
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec
    from pathlib import Path

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    spec = find_spec("saetask")
    if spec is None or spec.origin is None:
        return {"saetask": "not installed", **versions}
    folder, digest = Path(spec.origin).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return {"saetask": f"{version('saetask')} ({digest.hexdigest()[:8]})", **versions}


def _name() -> str:
    return f"{socket.gethostname()}, process {os.getpid()}"


def _log(line: str) -> None:
    """Writes to the worker's own log file, which Ray makes of its stderr."""
    print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)
