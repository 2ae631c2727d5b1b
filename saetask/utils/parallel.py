"""Threads: an iterator prefetched, and an ordered map with bounded look-ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_END = object()


def prefetch(items: Iterable[Item]) -> Iterator[Item]:
    """Yields items, of which a thread makes the next while its caller uses the last.

    What making an item raises is raised where that item would have been yielded.
    """
    source = iter(items)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, source, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, source, _END)
            yield item  # pyright: ignore[reportReturnType]


AHEAD = 4
"""Items taken ahead of the oldest that is not done, for each worker: bounds the memory."""


def map_ordered(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Yields what the function makes of each item, in the order of the items.

    Items are taken as they are needed, by the calling thread. The first error is raised in its
    turn; what has begun is finished before, what has not is dropped.
    """
    waiting: deque[Future[Result]] = deque()
    executor = ThreadPoolExecutor(workers)
    try:
        for item in items:
            waiting.append(executor.submit(function, item))
            if len(waiting) >= AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)
