"""Ray Train brings two workers together: they train the SAE of one process, whatever is lost."""

import json
import os
import shutil
import sys
from functools import partial
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file

from saetask import TrainConfig, UserError, train
from saetask.compute import ray_training as together
from saetask.compute.config import ComputeConfig
from saetask.compute.ray_cluster import WorkerResources, worker_capacity
from saetask.compute.ray_training import run_distributed
from saetask.compute.ray_worker import WorkPayload, differing_versions, run_rank
from saetask.training import runner as training
from saetask.training import trainer as training_process
from saetask.training.checkpoints import CHECKPOINT
from saetask.training.trainer import LOG, WORK, train_in_group
from tests.helpers.refusals import refusal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("ray") is None, reason='Ray is not installed: pip install "saetask[ray]"'
    ),
]


@pytest.fixture(scope="module")
def config(one_cluster):
    """Ray on this machine, with two CPUs, whatever the machine has."""
    import ray

    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
        torch.set_num_threads(1)
        yield ComputeConfig("ray")
        torch.set_num_threads(threads)
        ray.shutdown()


@pytest.fixture
def recipe(harvest_config, tiny_model, monkeypatch):
    monkeypatch.setattr(training, "load_model", lambda spec: tiny_model)
    return TrainConfig(
        harvest_config,
        model="tiny",
        d_sae=64,
        options={"k": 2},
        samples=64 * 20,
        batch_size=64,
        lr=3e-3,
        test_tokens=200,
        checkpoint_steps=5,
        dead_after_samples=64 * 3,
    )


def die_once(mark, job, rank, size):
    """Trains; the first time, the second worker ends in the middle of a step."""
    real, steps = training_process.step, []

    def dying(*given):
        steps.append(given)
        if len(steps) == 13:
            mark.touch()
            os._exit(1)
        return real(*given)

    if rank == 1 and not mark.exists():
        training_process.step = dying
    train_in_group(job, rank, size)


def test_two_workers_of_which_one_was_lost_train_the_sae_of_one_process(
    config, recipe, tmp_path, monkeypatch, capsys
):
    one, two = tmp_path / "one", tmp_path / "two"
    train(recipe, one, tmp_path)
    for name in ("train", "test"):  # its own harvest would be the same: test_ray.py
        shutil.copytree(one / "work" / name, two / "work" / name)
    monkeypatch.setattr(training, "train_in_group", partial(die_once, tmp_path / "mark"))
    metrics = train(recipe, two, tmp_path, config, workers=2)
    assert (tmp_path / "mark").exists()
    assert "was lost" in capsys.readouterr().err
    expected, found = (load_file(f / WORK / CHECKPOINT) for f in (one, two))
    for name, value in expected.items():
        if name in ("since_fired", "firings"):
            assert found[name].equal(value), name
        else:
            # A mean of two means is rounded differently than the mean of all.
            torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-5, msg=name)
    last, ours = (json.loads((f / LOG).read_text().splitlines()[-1]) for f in (one, two))
    assert ours == pytest.approx(last, rel=1e-4) and ours["dead"] == last["dead"] > 0
    alone = json.loads((one / "metrics.json").read_text())
    assert metrics["normalised_mse"] == pytest.approx(alone["normalised_mse"], rel=1e-2)
    assert (two / "sae_weights.safetensors").is_file()


# what is refused


def test_more_workers_than_the_cluster_has_room_for_are_refused(config):
    line = refusal(run_distributed, config, 3, "cpu", print)
    assert "--workers is 3; the Ray cluster has room for 2 of 1 CPUs each" in line
    assert "room for 0 of a GPU each" in refusal(run_distributed, config, 2, "cuda", print)


def test_a_worker_with_another_saetask_unpickles_nothing():
    payload = WorkPayload(b"no pickle", 1, {"saetask": "0.0.9 (0000)"})
    with pytest.raises(ImportError, match=r"has saetask .*, this process 0\.0\.9 \(0000\)"):
        run_rank({"payload": payload})


def test_a_package_that_a_worker_does_not_know_is_missing_there():
    assert "has torch not installed" in str(differing_versions("node-7", {}, {"torch": "2.13.0"}))
    assert differing_versions("node-7", {"torch": "2.13.0"}, {"torch": "2.13.0"}) is None


@pytest.mark.parametrize("error", [UserError("Too short."), ImportError("Too short.")], ids=repr)
def test_what_would_be_so_again_is_told_at_once(error):
    failures = {0: RuntimeError("Connection closed by peer"), 1: error}
    assert refusal(together._loss, failures) == "Too short."


def test_what_was_lost_is_told_in_a_line():
    closed, died = RuntimeError("Connection\nclosed"), OSError("Died.")
    assert together._loss({1: closed}) == "worker 1 was lost (RuntimeError: Connection closed)"
    assert together._loss({0: closed, 2: died}) == "worker 2 was lost (OSError: Died.)"


@pytest.mark.parametrize("losses", [0, 2])
def test_workers_start_again_after_a_loss(config, losses, monkeypatch, capsys):
    outcomes = ["worker 1 was lost (X)"] * losses + [None]
    monkeypatch.setattr(together, "_run_once", lambda *given: outcomes.pop(0))
    run_distributed(config, 2, "cpu", print)
    assert not outcomes
    assert capsys.readouterr().err.count("all workers start again") == losses


def test_workers_that_are_lost_again_and_again_end_the_command(config, monkeypatch):
    monkeypatch.setattr(together, "_run_once", lambda *given: "worker 1 was lost (X)")
    line = refusal(run_distributed, config, 2, "cpu", print)
    assert line.startswith("Workers were lost 3 times (worker 1 was lost (X))")


def test_room_is_counted_machine_by_machine():
    class Cluster:
        def nodes(self):
            return [
                {"Alive": True, "Resources": {"CPU": 5.0, "GPU": 1.0}},
                {"Alive": True, "Resources": {"CPU": 3.0}},
                {"Alive": False, "Resources": {"CPU": 64.0}},
            ]

    assert worker_capacity(Cluster(), WorkerResources.of("cpu", 2)) == 3
    assert worker_capacity(Cluster(), WorkerResources.of("cuda", 2)) == 1
