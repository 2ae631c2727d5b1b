"""Results come in the order of the shards, whatever order they are done in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask import UserError
from saetask.compute.shard_queue import MAX_LOSSES, ShardQueue, ShardResult
from tests.helpers.refusals import refusal


def failing_after(n):
    yield from range(n)
    raise UserError("The corpus broke off.")


@given(st.integers(0, 30), st.integers(1, 8), st.randoms(use_true_random=False))
def test_every_result_is_delivered_once_and_in_order(n_shards, ahead, random):
    queue = ShardQueue(range(n_shards), ahead)
    out, delivered = [], []
    while not queue.finished:
        while random.random() < 0.8 and (task := queue.next_task()):
            out.append(task)
        assert len(out) <= ahead
        if out and random.random() < 0.8:
            task = out.pop(random.randrange(len(out)))
            if random.random() < 0.2 and task.losses < MAX_LOSSES - 1:
                queue.requeue(task)
            else:
                queue.complete(task, ShardResult(task.shard**2))
        delivered += queue.results()
    assert delivered == [number**2 for number in range(n_shards)]
    assert out == []


@given(st.integers(1, 8))
def test_no_more_shards_wait_than_may_be_ahead(ahead):
    taken = []
    queue = ShardQueue((taken.append(i) for i in range(100)), ahead)
    first, *rest = [queue.next_task() for _ in range(ahead)]
    assert queue.next_task() is None
    for task in rest:
        queue.complete(task, ShardResult(0))
    assert list(queue.results()) == []  # the first one's turn has not come
    assert queue.next_task() is None
    assert len(taken) == ahead
    queue.complete(first, ShardResult(0))
    assert len(list(queue.results())) == ahead
    assert queue.next_task() is not None


def test_a_lost_shard_goes_out_again_before_new_ones():
    queue = ShardQueue("abcd", 4)
    first, second = queue.next_task(), queue.next_task()
    queue.requeue(second)
    queue.requeue(first)
    assert [queue.next_task().shard for _ in range(4)] == ["a", "b", "c", "d"]


def test_a_shard_that_loses_one_worker_after_another_is_given_up():
    queue = ShardQueue("a", 1)
    for _ in range(MAX_LOSSES - 1):
        queue.requeue(queue.next_task())
    assert "Shard 0 lost 3 workers" in refusal(queue.requeue, queue.next_task())


def test_an_error_waits_for_its_turn():
    queue = ShardQueue("abc", 3)
    a, b, c = (queue.next_task() for _ in range(3))
    queue.complete(c, ShardResult("C"))
    queue.complete(b, ShardResult(error=UserError("b is too long.")))
    assert list(queue.results()) == []
    queue.complete(a, ShardResult("A"))
    results = queue.results()
    assert next(results) == "A"
    with pytest.raises(UserError, match="b is too long"):
        next(results)


def test_shards_that_break_off_do_so_after_what_came_before():
    queue = ShardQueue(failing_after(2), 8)
    tasks = [queue.next_task(), queue.next_task()]
    assert queue.next_task() is None
    for task in tasks:
        queue.complete(task, ShardResult(task.shard))
    results = queue.results()
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(UserError, match="broke off"):
        next(results)
    assert queue.finished
