"""Whose turn it is: shards are handed out, come back in any order or are lost, and are delivered in
order."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple

from saetask.compute.executor import Result, Shard
from saetask.errors import UserError

MOST_LOSSES = 3
"""Workers that may be lost over one shard."""


@dataclass
class ShardTask(Generic[Shard]):
    """A shard that is handed out."""

    number: int
    shard: Shard
    losses: int = 0

    def __lt__(self, other: "ShardTask[Shard]") -> bool:
        return self.number < other.number


class ShardResult(NamedTuple, Generic[Result]):
    """What became of a shard: a result, or an error that is raised in the shard's turn."""

    value: Result | None = None
    error: Exception | None = None


class ShardQueue(Generic[Shard, Result]):
    """Keeps what is handed out and what is done, at most `ahead` shards beyond the next result."""

    def __init__(self, shards: Iterable[Shard], ahead: int) -> None:
        self._shards = iter(shards)
        self._ahead = ahead
        self._lost: list[ShardTask[Shard]] = []
        self._outcomes: dict[int, ShardResult[Result]] = {}
        self._taken = 0
        """Shards taken from the iterator; its end, or its error, counts as the last one."""
        self._turn = 0
        self._ended = False

    @property
    def finished(self) -> bool:
        """Was everything delivered?"""
        return self._ended and self._turn == self._taken

    @property
    def ready(self) -> bool:
        """Is there something to deliver?"""
        return self._turn in self._outcomes

    def hand_out(self) -> ShardTask[Shard] | None:
        """Returns a shard to work on, a lost one first; None if there is none for now."""
        if self._lost:
            return heapq.heappop(self._lost)
        if self._ended or self._taken >= self._turn + self._ahead:
            return None
        try:
            shard = next(self._shards)
        except StopIteration:
            self._ended = True
            return None
        except Exception as error:  # results that come before it are still to be delivered
            self._ended = True
            self._outcomes[self._taken] = ShardResult(error=error)
            self._taken += 1
            return None
        self._taken += 1
        return ShardTask(self._taken - 1, shard)

    def done(self, task: ShardTask[Shard], outcome: ShardResult[Result]) -> None:
        """Takes what became of a shard."""
        self._outcomes[task.number] = outcome

    def lost(self, task: ShardTask[Shard]) -> None:
        """Takes back a shard whose worker is gone.

        Raises:
            UserError: It was lost too often.
        """
        task.losses += 1
        if task.losses >= MOST_LOSSES:
            raise UserError(
                f"Shard {task.number} lost {MOST_LOSSES} workers, one after another; look into "
                "the workers' logs (memory, most often), then start again: it goes on from here."
            )
        heapq.heappush(self._lost, task)

    def deliver(self) -> Iterator[Result]:
        """Yields the results whose turn has come, or raises the error that stands there."""
        while self.ready:
            value, error = self._outcomes.pop(self._turn)
            self._turn += 1
            if error is not None:
                raise error
            yield value  # pyright: ignore[reportReturnType]
