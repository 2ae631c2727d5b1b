"""Training on the tiny model: folding, resuming, refusing."""

import json
import re
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
import yaml
from sae_lens import SAE
from safetensors.torch import load_file

from saetask import TrainConfig, UserError, load_sae, train
from saetask.cli.main import main
from saetask.compute.config import ComputeConfig
from saetask.data.corpus import CorpusConfig, Source
from saetask.saes.metrics import measure
from saetask.training import harvest as harvest_module
from saetask.training import record as training_record
from saetask.training import runner as training
from saetask.training import trainer
from saetask.training.checkpoints import CHECKPOINT
from saetask.training.harvest import harvest
from saetask.training.recipe import RANGES
from tests.helpers.refusals import refusal

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
        ({"architecture": "topp"}, "unknown architecture 'topp'. Did you mean 'topk'"),
        ({"options": {"kk": 4}}, "unknown option 'kk' of architecture 'topk'. Did you mean 'k'"),
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
    before = (tmp_path / "sae/sae_weights.safetensors").read_bytes()
    with pytest.raises(UserError, match="an SAE of another recipe, model or corpus; give"):
        train(replace(recipe, seed=1), tmp_path / "sae", tmp_path)
    assert (tmp_path / "sae/sae_weights.safetensors").read_bytes() == before


def test_unfinished_training_is_not_thrown_away_for_another_recipe(
    recipe, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(training, "_measure", lambda *given: pytest.fail("not reached"))
    monkeypatch.setattr(trainer, "_save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "sae", tmp_path)
    with pytest.raises(UserError, match="unfinished training of another recipe"):
        train(replace(recipe, seed=1), tmp_path / "sae", tmp_path)
    assert (tmp_path / "sae/work" / CHECKPOINT).is_file()


def interrupted(*given) -> None:
    raise KeyboardInterrupt


def test_a_start_that_trained_nothing_does_not_occupy_its_folder(
    recipe, tmp_path, monkeypatch
) -> None:
    """The corpus was too short; the mended recipe takes the same folder, and its activations."""
    too_long = replace(recipe, harvest=replace(recipe.harvest, tokens=10**6))
    with pytest.raises(UserError, match=r"of harvest\.tokens; add to harvest\.corpus"):
        train(too_long, tmp_path / "sae", tmp_path)
    monkeypatch.setattr(harvest_module, "_compute_shard", lambda *given: pytest.fail("harvested"))
    monkeypatch.setattr(training, "_measure", lambda *given: {})
    shards = len(list((tmp_path / "sae/work/train").glob("*.safetensors")))
    with pytest.raises(UserError, match="of test_tokens"):  # its test split is not yet harvested
        monkeypatch.setattr(harvest_module, "_new_shards", lambda *given: (n for n in ()))
        train(recipe, tmp_path / "sae", tmp_path)
    assert len(list((tmp_path / "sae/work/train").glob("*.safetensors"))) == shards > 1


def test_activations_of_other_texts_are_not_taken(recipe, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(training, "fit_and_save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "sae", tmp_path)
    first = (tmp_path / "sae/work/train/activations-00000.safetensors").read_bytes()
    texts = tmp_path / "texts.jsonl"
    texts.write_text(texts.read_text().replace("boats", "goats"))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "sae", tmp_path)
    assert (tmp_path / "sae/work/train/activations-00000.safetensors").read_bytes() != first


# Divergence


@pytest.mark.parametrize("lr", [1e30, 1e3])
def test_a_training_that_diverges_stops_with_advice_and_writes_no_sae(recipe, tmp_path, lr) -> None:
    out = tmp_path / "sae"
    line = refusal(train, replace(recipe, lr=lr, warm_up_steps=0), out, tmp_path)
    assert re.search(r"diverged at step \d+ of 160: the loss is", line)
    assert f"lr is {lr:g}" in line and "0.0008 is the default" in line
    assert not (out / "cfg.json").exists() and not (out / "metrics.json").exists()
    texts = [path.read_text() for path in out.rglob("*.json*")]
    assert texts and not any(re.search("NaN|Infinity", text) for text in texts)
    train(replace(recipe, samples=64 * 20), out, tmp_path)  # the folder is free
    assert (out / "cfg.json").exists() and not (out / "work/diverged").exists()


@pytest.mark.parametrize("part", ["loss", "gradient", "weight"])
def test_the_last_checkpoint_of_a_diverged_training_is_finite(
    recipe, tmp_path, monkeypatch, part
) -> None:
    """Something overflows at step 100; the checkpoint stays that of step 80."""
    real = trainer.step

    def overflowing(sae_trainer, batch, group):
        output = real(sae_trainer, batch, group)
        if sae_trainer.n_training_steps == 99 and part == "loss":
            output.loss = output.loss * float("inf")
        if sae_trainer.n_training_steps == 99 and part == "weight":
            sae_trainer.sae.W_dec.data[0, 0] = float("inf")
        return output

    def not_a_number(gradient):
        return gradient * float("nan")

    def stepping(sae_trainer, batch, group):
        if sae_trainer.n_training_steps == 99:
            sae_trainer.sae.b_enc.register_hook(not_a_number)
        return real(sae_trainer, batch, group)

    monkeypatch.setattr(trainer, "step", stepping if part == "gradient" else overflowing)
    line = refusal(train, recipe, tmp_path / "sae", tmp_path)
    assert re.search(r"diverged at step (100|101) of 160", line)
    tensors = load_file(tmp_path / "sae/work" / CHECKPOINT)
    assert tensors["steps"] == 80
    assert all(value.isfinite().all() for value in tensors.values())


def test_weights_that_overflow_in_the_last_step_are_not_saved(
    recipe, tmp_path, monkeypatch
) -> None:
    real = trainer.step

    def overflowing(sae_trainer, batch, group):
        output = real(sae_trainer, batch, group)
        if sae_trainer.n_training_steps == recipe.n_steps - 1:
            sae_trainer.sae.b_dec.data[3] = float("nan")
        return output

    monkeypatch.setattr(trainer, "step", overflowing)
    line = refusal(train, recipe, tmp_path / "sae", tmp_path)
    assert "at step 160 of 160: b_dec has values that are not finite" in line
    assert not (tmp_path / "sae/cfg.json").exists()


def test_the_command_ends_a_diverged_training_with_code_2(recipe, tmp_path, capsys) -> None:
    values = asdict(replace(recipe, lr=1e30))
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    out = tmp_path / "sae"
    assert main(["train", str(tmp_path / "recipe.yaml"), "--out", str(out)]) == 2
    assert "saetask: The training diverged at step" in capsys.readouterr().err


def test_the_logged_rate_falls_as_the_recipe_says(recipe, tmp_path, monkeypatch) -> None:
    """`decay_share` is the share of the run in which the rate falls linearly to 0."""
    monkeypatch.setattr(training_record, "LOG_STEPS", 1)
    train(
        replace(recipe, samples=64 * 40, decay_share=0.5, warm_up_steps=0),
        tmp_path / "sae",
        tmp_path,
    )
    lines = (tmp_path / "sae/training.jsonl").read_text().splitlines()
    rates = [json.loads(line)["lr"] / recipe.lr for line in lines]
    assert rates[:19] == [1] * 19
    assert rates[-20:] == pytest.approx([1 - i / 20 for i in range(1, 21)], abs=1e-6)


# Recipes


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"d_sae": 0}, "d_sae"),
        ({"d_sae": True}, "d_sae"),
        ({"samples": 0}, "samples"),
        ({"samples": 63}, "samples"),
        ({"batch_size": -64}, "batch_size"),
        ({"batch_size": 64.0}, "batch_size"),
        ({"lr": 0}, "lr"),
        ({"lr": -1e-3}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"lr": "1e-3"}, "lr"),
        ({"warm_up_steps": -1}, "warm_up_steps"),
        ({"decay_share": 1.5}, "decay_share"),
        ({"dead_after_samples": 0}, "dead_after_samples"),
        ({"initial_decoder": "dat"}, "initial_decoder"),
        ({"test_tokens": 0}, "test_tokens"),
        ({"checkpoint_steps": 0}, "checkpoint_steps"),
        ({"seed": -1}, "seed"),
        ({"options": {"k": D_SAE + 1}}, "options.k"),
        ({"options": {"k": 0}}, "options.k"),
        ({"options": {"k": 2.5}}, "options.k"),
        ({"options": {}}, "options.k"),  # SAE-Lens's default, 100, is more than d_sae
        ({"options": {"k": 4, "aux_loss_coefficient": -1}}, "options.aux_loss_coefficient"),
        ({"options": {"k": 4, "rescale_acts_by_decoder_norm": 1}}, "options.rescale_acts"),
        ({"options": {"d_in": 4}}, "options"),
        (
            {"architecture": "matryoshka_batchtopk", "options": {"k": 4}},
            "options.matryoshka_widths",
        ),
        (
            {
                "architecture": "matryoshka_batchtopk",
                "options": {"k": 4, "matryoshka_widths": [32, 16]},
            },
            "options.matryoshka_widths",
        ),
        (
            {"architecture": "jumprelu", "options": {"jumprelu_sparsity_loss_mode": "stepp"}},
            "options.jumprelu_sparsity_loss_mode",
        ),
    ],
)
def test_a_value_out_of_range_is_refused_before_a_model_is_loaded(
    recipe, tmp_path, monkeypatch, change, key
) -> None:
    monkeypatch.setattr(training, "load_model", lambda spec: pytest.fail("A model was loaded."))
    assert f"Recipe key '{key}" in refusal(train, replace(recipe, **change), tmp_path / "sae")
    assert not (tmp_path / "sae").exists()


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"tokens": 0}, "harvest.tokens"),
        ({"tokens": 63}, "harvest.tokens"),
        ({"rows_per_batch": 0}, "harvest.rows_per_batch"),
        ({"norm_limit": 0}, "harvest.norm_limit"),
        ({"split": "test"}, "harvest.split"),
        ({"corpus": CorpusConfig([Source("x", share=0)])}, "harvest.corpus.sources.0.share"),
        ({"corpus": CorpusConfig(context_size=1)}, "harvest.corpus.context_size"),
        ({"corpus": CorpusConfig(test_share=0)}, "harvest.corpus.test_share"),
    ],
)
def test_a_harvest_out_of_range_is_refused_before_a_model_is_loaded(
    recipe, tmp_path, monkeypatch, change, key
) -> None:
    monkeypatch.setattr(training, "load_model", lambda spec: pytest.fail("A model was loaded."))
    changed = replace(recipe, harvest=replace(recipe.harvest, **change))
    assert f"Recipe key '{key}'" in refusal(train, changed, tmp_path / "sae")


def test_a_hook_point_that_does_not_exist_is_refused_before_anything_is_written(
    recipe, tmp_path
) -> None:
    changed = replace(recipe, harvest=replace(recipe.harvest, hook_name="blocks.2.hook_resid_pst"))
    assert "'blocks.2.hook_resid_pst' does not exist" in refusal(train, changed, tmp_path / "sae")
    assert not (tmp_path / "sae").exists()


def test_every_number_of_a_recipe_has_a_range() -> None:
    def numbers(config_class, prefix=""):
        hints = get_type_hints(config_class)
        for field in fields(config_class):
            if is_dataclass(hints[field.name]):
                yield from numbers(hints[field.name], f"{prefix}{field.name}.")
            elif hints[field.name] in (int, float):
                yield prefix + field.name

    assert set(numbers(TrainConfig)) == RANGES.keys()
