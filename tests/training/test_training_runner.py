"""Training on the tiny model: folding, resuming, refusing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sae_lens import SAE

from saetask import TrainConfig, UserError, load_sae, train
from saetask.cli.main import main
from saetask.compute.config import ComputeConfig
from saetask.saes.metrics import measure
from saetask.training import record as training_record
from saetask.training import runner as training
from saetask.training.harvest import harvest

D_SAE = 64


@pytest.fixture
def recipe(harvest_config, tiny_model, monkeypatch) -> TrainConfig:
    monkeypatch.setattr(training, "load_model", lambda spec: tiny_model)
    return TrainConfig(
        harvest=harvest_config,
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
    assert sae.cfg.metadata.hook_name == recipe.harvest.hook_name
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
    real, calls = training_record.save_checkpoint, []

    def killed(trainer, folder) -> None:
        real(trainer, folder)
        calls.append(trainer.n_training_steps)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training_record, "save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "killed", tmp_path)
    monkeypatch.setattr(training_record, "save_checkpoint", real)
    train(recipe, tmp_path / "killed", tmp_path)
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-3, rtol=1e-2, msg=name)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("batchtopk", {"k": 4}),
        ("jumprelu", {}),
        pytest.param("standard", {}, marks=pytest.mark.slow),
        pytest.param("gated", {}, marks=pytest.mark.slow),
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


@pytest.mark.parametrize(
    ("workers", "engine", "change", "message"),
    [
        (0, "local", {}, "--workers is 0; it must be 1 or more"),
        (2, "local", {}, "more than one needs --engine ray"),
        (3, "ray", {}, "batch_size is 64, which 3 workers can not share evenly"),
        (2, "ray", {"architecture": "batchtopk"}, "'batchtopk' chooses features across the whole"),
        (2, "ray", {"architecture": "matryoshka_batchtopk"}, "across the whole batch"),
    ],
)
def test_what_processes_can_not_train_together_is_refused_before_a_model_is_loaded(
    recipe, tmp_path, monkeypatch, workers, engine, change, message
) -> None:
    monkeypatch.setattr(training, "load_model", lambda spec: pytest.fail("A model was loaded."))
    monkeypatch.setattr(ComputeConfig, "check", lambda self: None)
    with pytest.raises(UserError, match=message):
        train(replace(recipe, **change), tmp_path, tmp_path, ComputeConfig(engine), workers)
    assert not (tmp_path / "work").exists()


def test_the_command_hands_the_number_of_workers_on(tmp_path, capsys) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("harvest: {hook_name: blocks.2.hook_resid_post, tokens: 9}\n")
    assert main(["train", str(recipe), "--workers", "2"]) == 2
    assert capsys.readouterr().err == (
        "saetask: --workers is 2; more than one needs --engine ray.\n"
    )


def test_an_output_folder_of_another_recipe_is_refused(recipe, tmp_path) -> None:
    train(recipe, tmp_path / "sae", tmp_path)
    with pytest.raises(UserError, match="another recipe"):
        train(replace(recipe, seed=1), tmp_path / "sae", tmp_path)
