"""Turns: whatever comes back in whatever order, results are delivered in the shards' own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask import UserError
from saetask.compute.shard_queue import MOST_LOSSES, ShardQueue, ShardResult
from tests.helpers.refusals import refusal


def failing_after(n):
    yield from range(n)
    raise UserError("The corpus broke off.")


@given(st.integers(0, 30), st.integers(1, 8), st.randoms(use_true_random=False))
def test_every_result_is_delivered_once_and_in_order(n_shards, ahead, random):
    turns = ShardQueue(range(n_shards), ahead)
    out, delivered = [], []
    while not turns.finished:
        while random.random() < 0.8 and (task := turns.hand_out()):
            out.append(task)
        assert len(out) <= ahead
        if out and random.random() < 0.8:
            task = out.pop(random.randrange(len(out)))
            if random.random() < 0.2 and task.losses < MOST_LOSSES - 1:
                turns.lost(task)
            else:
                turns.done(task, ShardResult(task.shard**2))
        delivered += turns.deliver()
    assert delivered == [number**2 for number in range(n_shards)]
    assert out == []


@given(st.integers(1, 8))
def test_no_more_shards_wait_than_may_be_ahead(ahead):
    taken = []
    turns = ShardQueue((taken.append(i) for i in range(100)), ahead)
    first, *rest = [turns.hand_out() for _ in range(ahead)]
    assert turns.hand_out() is None
    for task in rest:
        turns.done(task, ShardResult(0))
    assert list(turns.deliver()) == []  # the first one's turn has not come
    assert turns.hand_out() is None
    assert len(taken) == ahead
    turns.done(first, ShardResult(0))
    assert len(list(turns.deliver())) == ahead
    assert turns.hand_out() is not None


def test_a_lost_shard_goes_out_again_before_new_ones():
    turns = ShardQueue("abcd", 4)
    first, second = turns.hand_out(), turns.hand_out()
    turns.lost(second)
    turns.lost(first)
    assert [turns.hand_out().shard for _ in range(4)] == ["a", "b", "c", "d"]


def test_a_shard_that_loses_one_worker_after_another_is_given_up():
    turns = ShardQueue("a", 1)
    for _ in range(MOST_LOSSES - 1):
        turns.lost(turns.hand_out())
    assert "Shard 0 lost 3 workers" in refusal(turns.lost, turns.hand_out())


def test_an_error_waits_for_its_turn():
    turns = ShardQueue("abc", 3)
    a, b, c = (turns.hand_out() for _ in range(3))
    turns.done(c, ShardResult("C"))
    turns.done(b, ShardResult(error=UserError("b is too long.")))
    assert list(turns.deliver()) == []
    turns.done(a, ShardResult("A"))
    results = turns.deliver()
    assert next(results) == "A"
    with pytest.raises(UserError, match="b is too long"):
        next(results)


def test_shards_that_break_off_do_so_after_what_came_before():
    turns = ShardQueue(failing_after(2), 8)
    tasks = [turns.hand_out(), turns.hand_out()]
    assert turns.hand_out() is None
    for task in tasks:
        turns.done(task, ShardResult(task.shard))
    results = turns.deliver()
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(UserError, match="broke off"):
        next(results)
    assert turns.finished
