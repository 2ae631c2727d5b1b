"""Queue of shards that returns results in order and re-queues lost shards."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple

from saetask.compute.executor import Result, Shard
from saetask.errors import UserError

MAX_LOSSES = 3
"""Number of workers lost over one shard at which the work is given up."""


@dataclass
class ShardTask(Generic[Shard]):
    """A shard that a worker has or is to get."""

    number: int
    """Position of the shard, from 0."""
    shard: Shard
    losses: int = 0
    """Number of workers lost over it."""

    def __lt__(self, other: "ShardTask[Shard]") -> bool:
        return self.number < other.number


class ShardResult(NamedTuple, Generic[Result]):
    """Result of a shard, or the error to raise in its place."""

    value: Result | None = None
    error: Exception | None = None


class ShardQueue(Generic[Shard, Result]):
    """Hands out shards and returns their results in order.

    At most `ahead` shards are handed out or done beyond the next result to return, which bounds
    the memory.
    """

    def __init__(self, shards: Iterable[Shard], ahead: int) -> None:
        self._shards = iter(shards)
        self._ahead = ahead
        self._lost: list[ShardTask[Shard]] = []
        self._results: dict[int, ShardResult[Result]] = {}
        self._n_taken = 0
        """Number of shards taken from the iterator; an error of the iterator counts as one."""
        self._next = 0
        """Number of the next shard whose result is returned."""
        self._exhausted = False

    @property
    def finished(self) -> bool:
        """Whether every result was returned."""
        return self._exhausted and self._next == self._n_taken

    @property
    def ready(self) -> bool:
        """Whether the next result is there."""
        return self._next in self._results

    def next_task(self) -> ShardTask[Shard] | None:
        """Returns a shard to work on, lost ones first; None if there is none for now."""
        if self._lost:
            return heapq.heappop(self._lost)
        if self._exhausted or self._n_taken >= self._next + self._ahead:
            return None
        try:
            shard = next(self._shards)
        except StopIteration:
            self._exhausted = True
            return None
        except Exception as error:  # raised after the results of the shards before it
            self._exhausted = True
            self._results[self._n_taken] = ShardResult(error=error)
            self._n_taken += 1
            return None
        self._n_taken += 1
        return ShardTask(self._n_taken - 1, shard)

    def complete(self, task: ShardTask[Shard], result: ShardResult[Result]) -> None:
        """Stores the result of a shard."""
        self._results[task.number] = result

    def requeue(self, task: ShardTask[Shard]) -> None:
        """Puts back a shard whose worker was lost.

        Raises:
            UserError: It was lost `MAX_LOSSES` times.
        """
        task.losses += 1
        if task.losses >= MAX_LOSSES:
            raise UserError(
                f"Shard {task.number} lost {MAX_LOSSES} workers, one after another; look into "
                "the workers' logs (memory, most often), then start again: it goes on from here."
            )
        heapq.heappush(self._lost, task)

    def results(self) -> Iterator[Result]:
        """Yields the results that are next in order, or raises the error that is."""
        while self.ready:
            value, error = self._results.pop(self._next)
            self._next += 1
            if error is not None:
                raise error
            yield value  # pyright: ignore[reportReturnType]
