"""The engine of a single process: one shard after another."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from saetask.engines.engine import Result, Shard

if TYPE_CHECKING:
    from saetask.models import Model


class LocalEngine:
    """Runs work here, on a model that is at hand."""

    def __init__(self, model: "Model") -> None:
        self._model = model

    def map(
        self, work: "Callable[[Model, Shard], Result]", shards: Iterable[Shard]
    ) -> Iterator[Result]:
        """Yields the result of each shard; see `Engine`."""
        for shard in shards:
            yield work(self._model, shard)
