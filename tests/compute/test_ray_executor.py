"""The Ray executor on a stand-in for Ray: order, losses, errors and early stops, in one process.

`tests/integration/test_ray.py` does the same on a cluster.
"""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask import UserError
from saetask.compute import ray_worker
from saetask.compute.ray_executor import MAX_FAILED_STARTS, RayExecutor
from saetask.compute.ray_worker import ModelSource
from saetask.compute.shard_queue import MAX_LOSSES
from tests.helpers.fake_ray import FakeRay
from tests.helpers.refusals import refusal

SOURCE = ModelSource("models/tiny", "float32", "cpu", 1, {"torch": "2.13.0"})
REPORT = {"name": "node-7, process 4", "versions": SOURCE.versions, "fingerprint": "abc"}


@pytest.fixture(autouse=True, scope="module")
def worker_without_model():
    """The worker as it is, but that it loads no model."""

    class Worker(ray_worker.Worker):
        def start(self, source):
            return REPORT

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_worker, "Worker", Worker)
        yield


def squared(model, shard):
    return shard**2


def refuse_three(model, shard):
    if shard == 3:
        raise UserError("Shard 3 is too long.")
    return shard


def losing(method, shard, times):
    """Tells which calls lose their actor: those of a method (on a shard), so many times."""
    left = [times]

    def loses(called, given):
        if called != method or (method == "run" and given[2] != shard) or not left[0]:
            return False
        left[0] -= 1
        return True

    return loses


@given(st.integers(1, 4), st.integers(0, 20), st.integers(0, 1000), st.integers(-1, 20))
def test_results_come_in_order_whatever_is_done_first_or_lost(n_cpus, n_shards, seed, lost):
    ray = FakeRay(n_cpus, seed, losing("run", lost, MAX_LOSSES - 1))
    executor = RayExecutor(ray, SOURCE, "abc")
    assert list(executor.map(squared, range(n_shards))) == [n**2 for n in range(n_shards)]
    n_losses = MAX_LOSSES - 1 if 0 <= lost < n_shards else 0
    assert len(ray.killed) == n_losses
    assert len(ray.actors) == (n_cpus + n_losses if n_shards else 0)
    assert list(executor.map(refuse_three, [4, 5])) == [4, 5]  # with the same workers
    executor.close()
    assert set(ray.killed) == set(ray.actors)


def test_a_lost_worker_is_named_and_its_shard_goes_to_another(capsys):
    executor = RayExecutor(FakeRay(loses=losing("run", 3, 1)), SOURCE, "abc")
    assert list(executor.map(squared, range(6))) == [n**2 for n in range(6)]
    line = "node-7, process 4 was lost (RayActorError); its shard goes to another"
    assert capsys.readouterr().err.count(line) == 1


def test_a_shard_that_loses_one_worker_after_another_ends_the_work():
    executor = RayExecutor(FakeRay(loses=losing("run", 3, MAX_LOSSES)), SOURCE, "abc")
    assert "Shard 3 lost 3 workers" in refusal(list, executor.map(squared, range(6)))


def test_workers_lost_while_they_start_are_replaced_so_often_and_not_more():
    ray = FakeRay(1, loses=losing("start", None, MAX_FAILED_STARTS - 1))
    assert list(RayExecutor(ray, SOURCE, "abc").map(squared, [5])) == [25]
    ray = FakeRay(1, loses=losing("start", None, MAX_FAILED_STARTS))
    line = refusal(list, RayExecutor(ray, SOURCE, "abc").map(squared, [5]))
    assert "3 workers of the Ray cluster were lost while they started (The actor died.)" in line


@pytest.mark.parametrize("seed", range(4))
def test_an_error_is_raised_in_its_turn_and_the_workers_stay(seed):
    executor = RayExecutor(FakeRay(seed=seed), SOURCE, "abc")
    results = executor.map(refuse_three, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert refusal(next, results) == "Shard 3 is too long."
    assert list(executor.map(refuse_three, range(3))) == [0, 1, 2]


@pytest.mark.parametrize("seed", range(4))
def test_a_caller_may_stop_early(seed):
    executor = RayExecutor(FakeRay(seed=seed), SOURCE, "abc")
    results = executor.map(squared, count())
    assert [next(results), next(results)] == [0, 1]
    results.close()
    assert list(executor.map(squared, range(3))) == [0, 1, 4]


def test_a_worker_with_other_weights_ends_the_work():
    line = refusal(list, RayExecutor(FakeRay(), SOURCE, "xyz").map(squared, [1]))
    assert "node-7, process 4 found other weights in models/tiny" in line


def test_a_cluster_without_resources_is_refused_and_nothing_to_do_needs_none():
    executor = RayExecutor(FakeRay(n_cpus=0), SOURCE, "abc")
    assert list(executor.map(squared, [])) == []
    assert "has 1 CPUs for a worker" in refusal(list, executor.map(squared, [1]))
