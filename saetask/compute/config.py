"""Opening the engine that was asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from saetask.compute.executor import Executor, LocalExecutor
from saetask.errors import UserError

if TYPE_CHECKING:
    from saetask.models.loading import Model


@dataclass(frozen=True)
class ComputeConfig:
    """Where the model's work is done. It changes no result, so it belongs to no run's identity."""

    engine: Literal["local", "ray"] = "local"
    """Where the model runs: in this process, or on the workers of a Ray cluster."""
    address: str | None = None
    """A running Ray cluster, auto or HOST:PORT; without it, one starts on this machine."""

    def check(self) -> None:
        """Refuses what can not be, before anything is loaded.

        Raises:
            UserError: An address without Ray, Ray is not installed, or nobody answers there.
        """
        if self.engine == "local" and self.address is not None:
            raise UserError(f"--address is {self.address}; it needs --engine ray.")
        if self.engine == "ray" and find_spec("ray") is None:
            raise UserError('--engine ray needs Ray; install it: pip install "saetask[ray]".')
        if self.address is not None:
            check_address(self.address)


LOCAL = ComputeConfig()


@contextmanager
def open_executor(config: ComputeConfig, spec: str, model: "Model") -> Iterator[Executor]:
    """Opens an engine, and closes it with all its workers.

    Args:
        config: Which one.
        spec: What `model` was loaded from, and workers load it from.
        model: The model of this process; a worker's must have the same weights.

    Raises:
        UserError: The cluster can not be reached.
    """
    config.check()
    if config.engine == "local":
        yield LocalExecutor(model)
        return
    from saetask.compute.ray_executor import connected, make_ray_executor

    with connected(config.address) as ray, make_ray_executor(ray, spec, model) as engine:
        yield engine


CONNECT_SECONDS = 10


def check_address(address: str) -> None:
    """Asks the head node whether it is there: Ray itself would try for minutes.

    Raises:
        UserError: It is no address, or nobody answers there.
    """
    import socket

    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or "/" in host:
        raise UserError(f"--address is '{address}'; it must be auto or HOST:PORT.")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"No Ray cluster answers at {address} ({error}); check the address, or start one "
            "there: ray start --head."
        ) from error
