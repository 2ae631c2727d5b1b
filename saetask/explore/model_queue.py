"""The queue of the model: one request at a time, a bounded number of them waiting.

What nobody waits for any more leaves the queue before it is computed.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
MOST_WAITING = 8
LONGEST = 60.0
"""Seconds that a request waits for its result."""


class QueueFullError(Exception):
    """More requests wait for the model than may."""


class TookTooLongError(Exception):
    """A result is not there in time. Its computation goes on and can not be stopped."""


class AbandonedError(Exception):
    """Nobody waits for a result any more."""


class ModelQueue:
    """Runs functions that use the model, one after another, in a thread of its own."""

    def __init__(self, most_waiting: int = MOST_WAITING, longest: float = LONGEST) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._lock = threading.Lock()
        self._most_waiting, self._longest = most_waiting, longest
        self._waiting = 0
        self.closed = False

    def start(self, function: Callable[[], object]) -> None:
        """Has a function run, which nobody waits for."""
        self._executor.submit(function)

    async def run(
        self, function: Callable[[], T], gone: Coroutine[Any, Any, None] | None = None
    ) -> T:
        """Returns what a function returns once it was its turn.

        Args:
            function: What is run.
            gone: Ends when nobody waits for the result any more. The function is not begun then;
                once begun it can not be stopped.

        Raises:
            QueueFullError: Too many wait already.
            TookTooLongError: The result is not there in time.
            AbandonedError: Nobody waits for it any more.
        """
        left = asyncio.ensure_future(gone) if gone else None
        try:
            return await self._run(function, left)
        finally:
            if left:
                left.cancel()

    async def _run(self, function: Callable[[], T], left: asyncio.Future[None] | None) -> T:
        with self._lock:
            if self._waiting >= self._most_waiting:
                raise QueueFullError
            self._waiting += 1
        future = self._executor.submit(function)
        future.add_done_callback(self._leave)
        result = asyncio.wrap_future(future)
        waited: list[asyncio.Future[Any]] = [result, left] if left else [result]
        try:
            done, _ = await asyncio.wait(
                waited, timeout=self._longest, return_when=asyncio.FIRST_COMPLETED
            )
            if result in done:
                return result.result()
        finally:
            future.cancel()  # at once; that of `result` would reach it in the loop's next turn
            result.cancel()
        raise AbandonedError if done else TookTooLongError

    def _leave(self, _: object) -> None:
        with self._lock:
            self._waiting -= 1

    def close(self) -> None:
        """Drops what waits; what is running ends by itself."""
        self.closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)
