"""Harvesting and training on the tiny model: folding, resuming, refusing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sae_lens import SAE

from saetask import TrainConfig, UserError, load_sae, train, training
from saetask.corpus import CorpusConfig, Source
from saetask.harvest import HarvestConfig, batches, harvest, statistics
from saetask.sae_metrics import measure

HOOK = "blocks.2.hook_resid_post"
D_SAE = 64


@pytest.fixture
def recipe(tmp_path: Path, tiny_model, monkeypatch) -> TrainConfig:
    texts = [f"Text {i}. " + f"the {i} boats sail at dawn and return. " * 20 for i in range(60)]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (tmp_path / "texts.jsonl").write_text(lines)
    corpus = CorpusConfig([Source("texts.jsonl")], context_size=32, test_share=0.3)
    monkeypatch.setattr(training, "load_model", lambda spec: tiny_model)
    return TrainConfig(
        harvest=HarvestConfig(HOOK, tokens=1500, corpus=corpus, rows_per_shard=16),
        model="tiny",
        d_sae=D_SAE,
        options={"k": 4},
        samples=64 * 160,
        batch_size=64,
        test_tokens=200,
        checkpoint_steps=40,
        dead_after_samples=64 * 4,
        lr=3e-3,
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_sae(folder).state_dict())


def test_the_saved_folder_is_an_sae_lens_folder_and_learnt_something(recipe, tmp_path) -> None:
    metrics = train(recipe, tmp_path / "sae", tmp_path)
    sae = SAE.load_from_disk(tmp_path / "sae")
    assert sae.cfg.metadata.hook_name == HOOK
    assert sae.cfg.architecture() == "topk"
    assert 0 < metrics["normalised_mse"] < 0.5
    assert metrics["l0"] <= 4
    assert (tmp_path / "sae" / "README.md").read_text().count("Normalised MSE") == 1
    assert not [p for p in tmp_path.rglob("*") if p.suffix in {".pt", ".pth", ".pkl", ".bin"}]


def test_folding_makes_the_saved_weights_take_raw_activations(recipe, tmp_path, tiny_model) -> None:
    train(recipe, tmp_path / "sae", tmp_path)
    shards = harvest(tiny_model, recipe.harvest, tmp_path / "sae/work/train", tmp_path)
    raw = shards.rows(torch.arange(200))
    found = measure(load_sae(tmp_path / "sae"), iter([raw]))
    last = (tmp_path / "sae/training.jsonl").read_text().splitlines()[-1]
    # bfloat16 weights and another sample of activations: near, not equal.
    assert found.fvu == pytest.approx(json.loads(last)["fvu"], abs=0.1)


def test_a_killed_run_goes_on_to_the_same_weights(recipe, tmp_path, monkeypatch) -> None:
    torch.set_num_threads(1)
    train(recipe, tmp_path / "whole", tmp_path)
    real, calls = training.save_checkpoint, []

    def killed(trainer, folder) -> None:
        real(trainer, folder)
        calls.append(trainer.n_training_steps)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "killed", tmp_path)
    monkeypatch.setattr(training, "save_checkpoint", real)
    train(recipe, tmp_path / "killed", tmp_path)
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-3, rtol=1e-2, msg=name)


def test_a_killed_harvest_keeps_its_shards_and_ends_the_same(
    recipe, tmp_path, tiny_model, monkeypatch
) -> None:
    whole = harvest(tiny_model, recipe.harvest, tmp_path / "whole", tmp_path)
    short = replace(recipe.harvest, tokens=500)
    harvest(tiny_model, short, tmp_path / "resumed", tmp_path)
    before = (tmp_path / "resumed/activations-00000.safetensors").stat().st_mtime_ns
    resumed = harvest(tiny_model, recipe.harvest, tmp_path / "resumed", tmp_path)
    assert (tmp_path / "resumed/activations-00000.safetensors").stat().st_mtime_ns == before
    assert len(whole) == len(resumed)
    everything = torch.arange(len(whole))
    torch.testing.assert_close(whole.rows(everything), resumed.rows(everything))


def test_a_harvest_of_another_config_is_refused(recipe, tmp_path, tiny_model) -> None:
    harvest(tiny_model, recipe.harvest, tmp_path / "shards", tmp_path)
    other = replace(recipe.harvest, hook_name="blocks.1.hook_resid_post")
    with pytest.raises(UserError, match="another config"):
        harvest(tiny_model, other, tmp_path / "shards", tmp_path)


def test_a_corpus_that_is_too_short_says_how_short(recipe, tmp_path, tiny_model) -> None:
    longer = replace(recipe.harvest, tokens=10**7)
    with pytest.raises(UserError, match="fewer than 10000000"):
        harvest(tiny_model, longer, tmp_path / "shards", tmp_path)


def test_special_tokens_are_not_harvested(recipe, tmp_path, tiny_model) -> None:
    shards = harvest(tiny_model, recipe.harvest, tmp_path / "shards", tmp_path)
    rows = 16 * len(shards.shards)
    assert len(shards) <= rows * (recipe.harvest.corpus.context_size - 1)


def test_batches_shuffle_across_shards_and_cover_an_epoch_once(
    recipe, tmp_path, tiny_model
) -> None:
    shards = harvest(tiny_model, recipe.harvest, tmp_path / "shards", tmp_path)
    per_epoch = len(shards) // 64
    stream = batches(shards, 64, seed=0)
    epoch = torch.cat([next(stream) for _ in range(per_epoch)])
    known = shards.rows(torch.arange(len(shards)))
    assert len(epoch.unique(dim=0)) <= len(known.unique(dim=0))
    assert torch.isin(epoch[:, 0], known[:, 0]).all()
    again = batches(shards, 64, seed=0, start=per_epoch + 1)
    next(stream)
    torch.testing.assert_close(next(stream), next(again))


def test_statistics_centre_and_scale(recipe, tmp_path, tiny_model) -> None:
    shards = harvest(tiny_model, recipe.harvest, tmp_path / "shards", tmp_path)
    mean, scale = statistics(shards)
    scaled = (shards.rows(torch.arange(len(shards))) - mean) * scale
    assert scaled.mean(0).abs().max() < 1e-3
    assert scaled.norm(dim=-1).mean().item() == pytest.approx(shards.d_in**0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("batchtopk", {"k": 4}),
        ("jumprelu", {}),
        ("standard", {}),
        ("gated", {}),
        ("matryoshka_batchtopk", {"k": 4, "matryoshka_widths": [16, D_SAE]}),
    ],
)
def test_other_architectures_train_and_load(recipe, tmp_path, architecture, options) -> None:
    short = replace(recipe, architecture=architecture, options=options, samples=64 * 20)
    metrics = train(short, tmp_path / "sae", tmp_path)
    assert SAE.load_from_disk(tmp_path / "sae").cfg.d_sae == D_SAE
    assert metrics["normalised_mse"] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "topp"}, "Unknown architecture 'topp'"),
        ({"options": {"kk": 4}}, "options of architecture 'topk'"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(recipe, tmp_path, change, message) -> None:
    with pytest.raises(UserError, match=message):
        train(replace(recipe, **change), tmp_path / "sae", tmp_path)


def test_an_output_folder_of_another_recipe_is_refused(recipe, tmp_path) -> None:
    train(recipe, tmp_path / "sae", tmp_path)
    with pytest.raises(UserError, match="another recipe"):
        train(replace(recipe, seed=1), tmp_path / "sae", tmp_path)
