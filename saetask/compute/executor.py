"""What an engine does: it runs work on shards, and gives the results in the order of the shards."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from saetask.models.loading import Model

Shard = TypeVar("Shard")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs work that needs the model, one model a process."""

    def map(
        self, work: "Callable[[Model, Shard], Result]", shards: Iterable[Shard]
    ) -> Iterator[Result]:
        """Yields the result of each shard, in their order, whichever is done first.

        Shards are taken from their iterator as they are needed, and whoever has enough may stop
        early (closing the iterator: one map at a time). A result depends on the model and its
        shard alone, so all engines give the same.

        Args:
            work: A function of a module, or a `partial` of one: it may be sent to other machines.
            shards: What the work is done on, piece by piece; sent as well.

        Raises:
            UserError: As the work or the iterator of shards raised it, in its turn.
        """
        ...


class LocalExecutor:
    """Runs work here, on a model that is at hand."""

    def __init__(self, model: "Model") -> None:
        self._model = model

    def map(
        self, work: "Callable[[Model, Shard], Result]", shards: Iterable[Shard]
    ) -> Iterator[Result]:
        """Yields the result of each shard; see `Executor`."""
        for shard in shards:
            yield work(self._model, shard)
