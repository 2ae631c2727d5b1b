"""Configuration of where the model runs, and the executor opened for it."""

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
    """Where the model runs. It changes no result, so it is not part of a run's identity."""

    engine: Literal["local", "ray"] = "local"
    """Where the model runs: in this process, or on the workers of a Ray cluster."""
    address: str | None = None
    """A running Ray cluster, auto or HOST:PORT; without it, one starts on this machine."""

    def check(self) -> None:
        """Checks the configuration before anything is loaded.

        Raises:
            UserError: There is an address without Ray, Ray is not installed, or no cluster answers
                at the address.
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
    """Opens an executor, and closes it with all its workers.

    Args:
        config: Where the model runs.
        spec: What `model` was loaded from; workers load it from there.
        model: The model of this process; the workers' must have the same weights.

    Raises:
        UserError: The cluster can not be reached.
    """
    config.check()
    if config.engine == "local":
        yield LocalExecutor(model)
        return
    from saetask.compute.ray_cluster import connected
    from saetask.compute.ray_executor import make_ray_executor

    with connected(config.address) as ray, make_ray_executor(ray, spec, model) as executor:
        yield executor


CONNECT_SECONDS = 10
"""How long to wait for the head node, in seconds."""


def check_address(address: str) -> None:
    """Connects to the head node once, because Ray itself would try for minutes.

    Raises:
        UserError: It is no address, or no node answers there.
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
