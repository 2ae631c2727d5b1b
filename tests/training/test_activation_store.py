"""Harvesting on the tiny model: shards that resume, shuffle and drop what they should."""

from dataclasses import replace

import pytest
import torch

from saetask import UserError
from saetask.training import harvest as harvest_module
from saetask.training.activation_store import TrainingData, batches
from saetask.training.harvest import harvest, harvest_hooks


def test_a_killed_harvest_keeps_its_shards_and_ends_the_same(
    harvest_config, tmp_path, tiny_model, monkeypatch
) -> None:
    whole = harvest(tiny_model, harvest_config, tmp_path / "whole", tmp_path)
    short = replace(harvest_config, tokens=500)
    harvest(tiny_model, short, tmp_path / "resumed", tmp_path)
    before = (tmp_path / "resumed/activations-00000.safetensors").stat().st_mtime_ns
    resumed = harvest(tiny_model, harvest_config, tmp_path / "resumed", tmp_path)
    assert (tmp_path / "resumed/activations-00000.safetensors").stat().st_mtime_ns == before
    assert len(whole) == len(resumed)
    everything = torch.arange(len(whole))
    torch.testing.assert_close(whole.rows(everything), resumed.rows(everything))


def test_a_harvest_of_another_config_is_refused(harvest_config, tmp_path, tiny_model) -> None:
    harvest(tiny_model, harvest_config, tmp_path / "shards", tmp_path)
    other = replace(harvest_config, hook_name="blocks.1.hook_resid_post")
    with pytest.raises(UserError, match="another config"):
        harvest(tiny_model, other, tmp_path / "shards", tmp_path)


def test_a_corpus_that_is_too_short_says_how_short(harvest_config, tmp_path, tiny_model) -> None:
    longer = replace(harvest_config, tokens=10**7)
    with pytest.raises(UserError, match=r"fewer than the 10000000 of harvest\.tokens"):
        harvest(tiny_model, longer, tmp_path / "shards", tmp_path)


def test_special_tokens_are_not_harvested(harvest_config, tmp_path, tiny_model) -> None:
    shards = harvest(tiny_model, harvest_config, tmp_path / "shards", tmp_path)
    rows = 16 * len(shards.shards)
    assert len(shards) <= rows * (harvest_config.corpus.context_size - 1)


def test_batches_shuffle_across_shards_and_cover_an_epoch_once(
    harvest_config, tmp_path, tiny_model
) -> None:
    shards = harvest(tiny_model, harvest_config, tmp_path / "shards", tmp_path)
    per_epoch = len(shards) // 64
    stream = batches(shards, 64, seed=0)
    epoch = torch.cat([next(stream) for _ in range(per_epoch)])
    known = shards.rows(torch.arange(len(shards)))
    assert len(epoch.unique(dim=0)) <= len(known.unique(dim=0))
    assert torch.isin(epoch[:, 0], known[:, 0]).all()
    again = batches(shards, 64, seed=0, start=per_epoch + 1)
    next(stream)
    torch.testing.assert_close(next(stream), next(again))


def test_statistics_centre_and_scale(harvest_config, tmp_path, tiny_model) -> None:
    shards = harvest(tiny_model, harvest_config, tmp_path / "shards", tmp_path)
    scaled = TrainingData.from_shards(shards).normalised(shards.rows(torch.arange(len(shards))))
    assert scaled.mean(0).abs().max() < 1e-3
    assert scaled.norm(dim=-1).mean().item() == pytest.approx(shards.d_in**0.5, rel=1e-3)


def test_a_disk_that_is_full_at_the_last_shard_is_not_passed_over(
    harvest_config, tmp_path, tiny_model, monkeypatch
) -> None:
    whole = harvest(tiny_model, harvest_config, tmp_path / "whole", tmp_path)
    real = harvest_module._write_shard

    def full(folder, manifest, activations) -> None:
        if manifest["shards"] == len(whole.shards) - 1:
            raise UserError("No space left on the disk.")
        real(folder, manifest, activations)

    monkeypatch.setattr(harvest_module, "_write_shard", full)
    with pytest.raises(UserError, match="No space left"):
        harvest(tiny_model, harvest_config, tmp_path / "full", tmp_path)
    monkeypatch.setattr(harvest_module, "_write_shard", real)
    resumed = harvest(tiny_model, harvest_config, tmp_path / "full", tmp_path)
    everything = torch.arange(len(whole))
    assert torch.equal(resumed.rows(everything), whole.rows(everything))


def test_hook_points_harvested_in_one_pass_equal_those_harvested_alone(
    harvest_config, tmp_path, tiny_model
) -> None:
    """Also where one of them is begun already, or finished."""
    names = [f"blocks.{layer}.hook_resid_post" for layer in range(3)]
    alone = {
        name: harvest(
            tiny_model, replace(harvest_config, hook_name=name), tmp_path / name, tmp_path
        )
        for name in names
    }
    folders = {name: tmp_path / f"together-{name}" for name in names}
    begun = replace(harvest_config, hook_name=names[1], tokens=500)
    harvest(tiny_model, begun, folders[names[1]], tmp_path)
    finished = replace(harvest_config, hook_name=names[2])
    harvest(tiny_model, finished, folders[names[2]], tmp_path)
    together = harvest_hooks(tiny_model, harvest_config, folders, tmp_path)
    assert [*together] == names
    for name, shards in alone.items():
        everything = torch.arange(len(shards))
        assert len(together[name]) == len(shards)
        assert torch.equal(together[name].rows(everything), shards.rows(everything))
        assert torch.equal(together[name].token_ids(), shards.token_ids())


def test_stored_tokens_are_those_of_the_activations(harvest_config, tmp_path, tiny_model) -> None:
    """The first block's input is the token's embedding, whatever the batch that it was in."""
    config = replace(harvest_config, hook_name="blocks.0.hook_resid_pre")
    shards = harvest(tiny_model, config, tmp_path / "shards", tmp_path)
    embedded = tiny_model.W_E[shards.token_ids().long()].bfloat16().float()
    assert torch.equal(shards.rows(torch.arange(len(shards))), embedded)
