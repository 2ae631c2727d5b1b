"""The queue of the model: one request at a time, a bounded number of them waiting."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
MOST_WAITING = 8
LONGEST = 60.0
"""Seconds that a request waits for its result."""


class QueueFullError(Exception):
    """More requests wait for the model than may."""


class TookTooLongError(Exception):
    """A result is not there in time. Its computation goes on and can not be stopped."""


class ModelQueue:
    """Runs functions that use the model, one after another, in a thread of its own."""

    def __init__(self, most_waiting: int = MOST_WAITING, longest: float = LONGEST) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._lock = threading.Lock()
        self._most_waiting, self._longest = most_waiting, longest
        self._waiting = 0

    def start(self, function: Callable[[], object]) -> None:
        """Has a function run, which nobody waits for."""
        self._executor.submit(function)

    async def run(self, function: Callable[[], T]) -> T:
        """Returns what a function returns once it was its turn.

        Raises:
            QueueFullError: Too many wait already.
            TookTooLongError: The result is not there in time.
        """
        with self._lock:
            if self._waiting >= self._most_waiting:
                raise QueueFullError
            self._waiting += 1
        future = self._executor.submit(function)
        future.add_done_callback(self._leave)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._longest)
        except TimeoutError as error:
            raise TookTooLongError from error

    def _leave(self, _: object) -> None:
        with self._lock:
            self._waiting -= 1

    def close(self) -> None:
        """Drops what waits; what is running ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)
