"""Opening the engine that was asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from saetask.engines.checks import check_address
from saetask.engines.engine import Engine
from saetask.engines.local import LocalEngine
from saetask.errors import UserError

if TYPE_CHECKING:
    from saetask.models import Model


@dataclass(frozen=True)
class EngineConfig:
    """Where the model's work is done. It changes no result, so it belongs to no run's identity."""

    engine: Literal["local", "ray"] = "local"
    """In this process, or by the workers of a Ray cluster."""
    address: str | None = None
    """Of a Ray cluster that is running: `auto` or HOST:PORT; none starts one on this machine."""

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


LOCAL = EngineConfig()


@contextmanager
def open_engine(config: EngineConfig, spec: str, model: "Model") -> Iterator[Engine]:
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
        yield LocalEngine(model)
        return
    from saetask.engines.ray import connected, make_ray_engine

    with connected(config.address) as ray, make_ray_engine(ray, spec, model) as engine:
        yield engine
