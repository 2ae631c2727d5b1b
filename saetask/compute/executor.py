"""Interface of executors, which map work over shards in order, and the executor of this process."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from saetask.models.loading import Model

Shard = TypeVar("Shard")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs work that needs the model, with one model in each process."""

    def map(
        self, work: "Callable[[Model, Shard], Result]", shards: Iterable[Shard]
    ) -> Iterator[Result]:
        """Yields the result of each shard, in the order of the shards.

        Shards are taken from their iterator as they are needed. A caller may stop early by closing
        the iterator; one map runs at a time. A result depends on the model and its shard alone, so
        all executors give the same results.

        Args:
            work: A function of a module, or a `partial` of one: it may be sent to other machines.
            shards: Inputs of the work, which may be sent as well.

        Raises:
            UserError: An error of the work or of the iterator, in place of its shard's result.
        """
        ...


class LocalExecutor:
    """Runs work in this process, on a given model."""

    def __init__(self, model: "Model") -> None:
        self._model = model

    def map(
        self, work: "Callable[[Model, Shard], Result]", shards: Iterable[Shard]
    ) -> Iterator[Result]:
        """Yields the result of each shard; see `Executor`."""
        for shard in shards:
            yield work(self._model, shard)
