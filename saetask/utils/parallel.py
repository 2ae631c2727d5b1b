"""Prefetching and an ordered map over threads, both with bounded look-ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_END = object()
AHEAD = 4
"""Maximum number of items per worker that are taken but not yielded; bounds the memory."""


def prefetch(items: Iterable[Item]) -> Iterator[Item]:
    """Yields items while a thread makes the next one.

    An error of the iterator is raised after the items before it.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(next, iterator, _END)
        while (item := upcoming.result()) is not _END:
            upcoming = thread.submit(next, iterator, _END)
            yield item  # pyright: ignore[reportReturnType]


def map_ordered(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Yields the result of a function for each item, in the order of the items.

    Items are taken as they are needed, by the calling thread. The first error is raised in
    place of its result, after the calls that have begun are finished; the others are dropped.

    Args:
        function: Called in threads.
        items: Its arguments.
        workers: Number of threads.
    """
    pending: deque[Future[Result]] = deque()
    executor = ThreadPoolExecutor(workers)
    try:
        for item in items:
            pending.append(executor.submit(function, item))
            if len(pending) >= AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)
