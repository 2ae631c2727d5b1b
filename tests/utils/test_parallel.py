"""Prefetching and an ordered map: in order, with a bounded number of items taken ahead."""

import threading
import time

import pytest

from saetask.utils.parallel import AHEAD, map_ordered, prefetch


def test_items_come_in_order_from_another_thread():
    makers = []

    def items():
        for i in range(20):
            makers.append(threading.get_ident())
            yield i

    assert list(prefetch(items())) == list(range(20))
    assert threading.get_ident() not in makers
    assert list(prefetch([])) == []


def test_one_item_is_made_while_another_is_used_and_not_more():
    made, may_go_on = [], threading.Event()

    def items():
        for i in range(5):
            made.append(i)
            if i == 1:
                may_go_on.set()
            yield i

    stream = prefetch(items())
    assert next(stream) == 0
    assert may_go_on.wait(10), "the second is made without being asked for"
    stream.close()
    assert made == [0, 1]


def test_what_making_an_item_raises_is_raised_in_its_place():
    def items():
        yield 1
        raise ZeroDivisionError

    stream = prefetch(items())
    assert next(stream) == 1
    with pytest.raises(ZeroDivisionError):
        next(stream)


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_results_come_in_order_whatever_finishes_first(workers) -> None:
    def slow_first(n: int) -> int:
        time.sleep(0.02 if n % 4 == 0 else 0)
        return n * n

    assert list(map_ordered(slow_first, range(30), workers)) == [n * n for n in range(30)]


def test_several_are_under_way_at_once_and_few_are_taken_ahead() -> None:
    together = threading.Barrier(3, timeout=5)
    taken = []

    def items():
        for n in range(60):
            taken.append(n)
            yield n

    def meet(n: int) -> int:
        if n < 3:
            together.wait()
        return n

    results = map_ordered(meet, items(), 3)
    for done in range(60):
        assert next(results) == done
        assert len(taken) <= done + AHEAD * 3


def test_an_error_comes_in_its_turn_and_ends_the_rest() -> None:
    begun = []

    def fails_at_three(n: int) -> int:
        begun.append(n)
        if n == 3:
            raise KeyError(n)
        return n

    found = []
    with pytest.raises(KeyError):
        for result in map_ordered(fails_at_three, range(100), 2):
            found.append(result)
    assert found == [0, 1, 2]
    assert len(begun) <= 3 + AHEAD * 2
