"""The next item is made while the last is used, in order, and no more than one ahead."""

import threading

import pytest

from saetask.utils.parallel import prefetch


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
