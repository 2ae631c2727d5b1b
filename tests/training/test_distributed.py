"""Two processes train as one does: the same steps, the same dead features, one log.

The processes are forks, connected by gloo; `test_ray_training.py` has Ray Train start them.
"""

import json
import multiprocessing
import os
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from benchmarks.estimate import bytes_a_step
from saetask import TrainConfig, UserError
from saetask.training import record as training_record
from saetask.training import trainer as training_process
from saetask.training.activation_store import (
    MANIFEST,
    ActivationShards,
    TrainingData,
    shard_name,
)
from saetask.training.checkpoints import CHECKPOINT
from saetask.training.config import HarvestConfig
from saetask.training.distributed import ProcessGroup
from saetask.training.divergence import DivergenceError
from saetask.training.record import TrainingRecord
from saetask.training.trainer import fit, make_sae
from saetask.utils.files import write_json

D_IN, D_SAE, STEPS = 16, 64, 24

RECIPE = TrainConfig(
    HarvestConfig("blocks.0.hook_resid_post", tokens=1000),
    d_sae=D_SAE,
    options={"k": 4},
    samples=64 * STEPS,
    batch_size=64,
    lr=3e-3,
    warm_up_steps=2,
    dead_after_samples=64 * 3,
    checkpoint_steps=8,
)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def shards(tmp_path):
    """1,000 activations around 40 directions, in two shards."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(40, D_IN, generator=generator)
    chosen = torch.randint(40, (1000, 3), generator=generator)
    rows = directions[chosen].sum(1) + 0.1 * torch.randn(1000, D_IN, generator=generator)
    folder = tmp_path / "shards"
    folder.mkdir()
    for number, part in enumerate(rows.to(torch.bfloat16).split(600)):
        save_file({"activations": part}, folder / shard_name(number))
    write_json(folder / MANIFEST, {"identity": "abc", "shards": 2, "norm_limit": 99.0})
    return ActivationShards(folder)


def train(recipe, shards, folder, rank=0, size=1):
    """Trains into a folder."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(recipe.seed + rank)  # whatever the second process begins with is replaced
    data = TrainingData.from_shards(shards)
    record = TrainingRecord(
        folder / CHECKPOINT,
        folder / "log.jsonl",
        recipe.checkpoint_steps,
        ProcessGroup(rank, size),
    )
    fit(recipe, make_sae(recipe, data), data, record)


def train_apart(recipe, shards, folder, rank, size):
    """As `train`, but each process has a folder of its own."""
    train(recipe, shards, folder / str(rank), rank, size)


def train_and_die(recipe, shards, folder, rank, size):
    """As `train`, but the first process ends once it has written its second checkpoint."""
    save, saved = training_record.save_checkpoint, []

    def killed(trainer, checkpoint):
        save(trainer, checkpoint)
        saved.append(checkpoint)
        if len(saved) == 2:
            os._exit(9)

    training_record.save_checkpoint = killed
    train(recipe, shards, folder, rank, size)


def in_group(store, work, rank, size):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=size
    )
    work(rank, size)


def together(tmp_path, work, size=2):
    """Forks processes of one group; returns their exit codes."""
    fork = multiprocessing.get_context("fork")
    store = tmp_path / f"store-{len(list(tmp_path.glob('store-*')))}"
    processes = [
        fork.Process(target=in_group, args=(store, work, rank, size)) for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode is not None
    return [process.exitcode for process in processes]


def state(folder):
    return load_file(folder / CHECKPOINT)


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("architecture", "options"),
    [("topk", {"k": 1}), ("standard", {}), ("gated", {}), ("jumprelu", {})],
)
def test_two_processes_come_to_the_weights_of_one(tmp_path, shards, architecture, options):
    recipe = replace(RECIPE, architecture=architecture, options=options)
    train(recipe, shards, tmp_path / "one")
    assert together(tmp_path, partial(train, recipe, shards, tmp_path / "two")) == [0, 0]
    one, two = state(tmp_path / "one"), state(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, expected in one.items():
        if name in ("since_fired", "firings"):
            assert two[name].equal(expected), name
        else:
            # A mean of two means is rounded differently than the mean of all.
            torch.testing.assert_close(two[name], expected, atol=1e-6, rtol=1e-5, msg=name)


def test_what_the_dead_are_given_is_the_same(tmp_path, shards):
    recipe = replace(RECIPE, options={"k": 1})
    train(recipe, shards, tmp_path / "one")
    together(tmp_path, partial(train, recipe, shards, tmp_path / "two"))
    one, two = log(tmp_path / "one"), log(tmp_path / "two")
    assert one[0]["dead"] > 10, "else nothing is tried here"
    assert len(two) == len(one)
    for ours, theirs in zip(one, two):
        assert theirs == pytest.approx(ours, rel=1e-5)
        assert theirs["dead"] == ours["dead"] and theirs["samples"] == ours["samples"]


def test_only_the_first_process_writes(tmp_path, shards):
    together(tmp_path, partial(train_apart, RECIPE, shards, tmp_path))
    assert {path.name for path in (tmp_path / "0").iterdir()} == {CHECKPOINT, "log.jsonl"}
    assert not list((tmp_path / "1").iterdir())


def test_a_killed_group_goes_on_to_the_same_bytes(tmp_path, shards):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert together(tmp_path, partial(train, RECIPE, shards, whole)) == [0, 0]
    exits = together(tmp_path, partial(train_and_die, RECIPE, shards, killed))
    assert exits[0] == 9 and exits[1] != 0
    assert load_file(killed / CHECKPOINT)["steps"] == 16
    assert together(tmp_path, partial(train, RECIPE, shards, killed)) == [0, 0]
    expected, found = state(whole), state(killed)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].equal(value), name


def test_processes_that_see_different_checkpoints_are_refused(tmp_path, shards):
    train(replace(RECIPE, samples=64 * 8), shards, tmp_path / "0")

    def refused(rank, size):
        with pytest.raises(UserError, match="see different checkpoints"):
            train_apart(RECIPE, shards, tmp_path, rank, size)

    assert together(tmp_path, refused) == [0, 0]


def test_every_process_is_told_that_not_all_agree(tmp_path):
    """With 8, 16 and 24 the sum is three times the middle one's number."""

    def asked(rank, size):
        group, device = ProcessGroup(rank, size), torch.device("cpu")
        assert not group.agrees([8, 16, 24][rank], device)
        assert not group.agrees([8, 8, 16][rank], device)
        assert group.agrees(16, device)

    assert together(tmp_path, asked, size=3) == [0, 0, 0]


@settings(max_examples=5)
@given(numbers=st.lists(st.integers(0, 2**40), min_size=3, max_size=3))
def test_processes_agree_exactly_where_their_numbers_are_equal(numbers):
    """Each of three processes, which are simulated here, hears the same."""
    reduced = torch.tensor([[number, -number] for number in numbers]).amin(0)

    def all_reduce(tensor, op):
        assert op == torch.distributed.ReduceOp.MIN
        tensor.copy_(reduced)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.distributed, "all_reduce", all_reduce)
        answers = [
            ProcessGroup(rank, 3).agrees(number, torch.device("cpu"))
            for rank, number in enumerate(numbers)
        ]
    assert answers == [len(set(numbers)) == 1] * 3


@pytest.mark.parametrize("diverging", [0, 1])
def test_all_processes_stop_at_the_step_at_which_one_diverges(tmp_path, shards, diverging):
    """The rows of one process overflow at step 12; the checkpoint stays that of step 8."""

    def diverge(rank, size):
        real, n_steps = training_process.step, []

        def overflowing(trainer, batch, group):
            n_steps.append(1)
            if rank == diverging and len(n_steps) == 12:
                batch = batch * float("inf")
            return real(trainer, batch, group)

        training_process.step = overflowing
        with pytest.raises(DivergenceError, match=r"diverged at step 12 of 24: the loss is"):
            train(RECIPE, shards, tmp_path / "out", rank, size)
        assert len(n_steps) == 12

    assert together(tmp_path, diverge) == [0, 0]
    saved = state(tmp_path / "out")
    assert saved["steps"] == 8
    assert all(value.isfinite().all() for value in saved.values())


def test_a_step_sends_what_the_page_on_scaling_says(tmp_path, shards):
    def counted(rank, size):
        reduce, real, sent, steps = torch.distributed.all_reduce, training_process.step, [], []

        def counting(tensor, **options):
            sent.append(tensor.numel() * tensor.element_size())
            return reduce(tensor, **options)

        def stepping(*given):
            sent.clear()
            output = real(*given)
            steps.append(sum(sent))
            return output

        torch.distributed.all_reduce, training_process.step = counting, stepping
        train_apart(RECIPE, shards, tmp_path, rank, size)
        assert steps == [bytes_a_step(D_IN, D_SAE)] * STEPS

    assert together(tmp_path, counted) == [0, 0]


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_parts_of_a_batch_are_the_batch(size):
    rows = list(range(64))
    parts = [rows[ProcessGroup(rank, size).part(64)] for rank in range(size)]
    assert [row for part in parts for row in part] == rows
    assert {len(part) for part in parts} == {64 // size}
