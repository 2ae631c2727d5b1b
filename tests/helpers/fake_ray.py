"""A stand-in for the module `ray`: actors in this process, done in random order, lost at will."""

import itertools
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

LOSSES = (
    "RayActorError",
    "WorkerCrashedError",
    "NodeDiedError",
    "ObjectLostError",
    "OutOfMemoryError",
)


class RayTaskError(Exception):
    """An error of an actor's method."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class FakeRay:
    """Implements what `RayExecutor` uses of `ray`.

    Args:
        n_cpus: CPUs of the only node.
        seed: Seed of the order in which calls are done.
        loses: Tells from the name of an actor's method and its arguments whether the actor is lost
            over the call.
    """

    def __init__(
        self,
        n_cpus: int = 2,
        seed: int = 0,
        loses: Callable[[str, tuple[Any, ...]], bool] = lambda method, given: False,
    ) -> None:
        self.exceptions = SimpleNamespace(
            RayTaskError=RayTaskError, **{name: type(name, (Exception,), {}) for name in LOSSES}
        )
        self.cloudpickle = SimpleNamespace(register_pickle_by_value=lambda module: None)
        self.actors: list[_Actor] = []
        self.killed: list[_Actor] = []
        self.n_cpus = n_cpus
        self.loses = loses
        self.random = random.Random(seed)

    def remote(self, **options: Any) -> Callable[[type], SimpleNamespace]:
        def decorate(cls: type) -> SimpleNamespace:
            return SimpleNamespace(remote=lambda: _Actor(self, cls()))

        return decorate

    def put(self, value: Any) -> Any:
        return value

    def wait(
        self, refs: list["_Call"], num_returns: int, timeout: float | None
    ) -> tuple[list["_Call"], list["_Call"]]:
        done = self.random.choice(refs)
        return [done], [ref for ref in refs if ref is not done]

    def get(self, ref: "_Call") -> Any:
        return ref.actor.result(ref)

    def kill(self, actor: "_Actor", no_restart: bool) -> None:
        self.killed.append(actor)

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": float(self.n_cpus)}}]

    def available_resources(self) -> dict[str, float]:
        return {"CPU": float(self.n_cpus)}


class _Actor:
    """An object whose methods run, in the order of the calls, once a result is wanted."""

    def __init__(self, ray: FakeRay, instance: Any) -> None:
        self._ray, self._instance, self._calls = ray, instance, []
        self._results: dict[_Call, Any] = {}
        ray.actors.append(self)

    def __getattr__(self, method: str) -> SimpleNamespace:
        def call(*given: Any) -> _Call:
            assert self not in self._ray.killed, "A killed actor was called."
            self._calls.append(_Call(self, method, given))
            return self._calls[-1]

        return SimpleNamespace(remote=call)

    def result(self, ref: "_Call") -> Any:
        while ref not in self._results:
            following = self._calls.pop(0)
            self._results[following] = self._do(following)
        kind, value = self._results[ref]
        if kind == "error":
            raise value
        return value

    def _do(self, call: "_Call") -> tuple[str, Any]:
        if self._ray.loses(call.method, call.given):
            return "error", self._ray.exceptions.RayActorError("The actor died.")
        try:
            return "value", getattr(self._instance, call.method)(*call.given)
        except Exception as error:
            return "error", RayTaskError(error)


class _Call:
    """The reference to a call's result."""

    numbers = itertools.count()

    def __init__(self, actor: _Actor, method: str, given: tuple[Any, ...]) -> None:
        self.actor, self.method, self.given = actor, method, given
        self.number = next(self.numbers)
