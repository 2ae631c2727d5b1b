"""The record of an SAE's training: trusted where all is as it was, else the figures decide."""

import copy
import json
from dataclasses import replace

import pytest
import torch

from saetask import TrainConfig, load_sae, train
from saetask.saes import compatibility, fit
from saetask.saes.compatibility import check_sae
from saetask.saes.fit import SAEFigures, SAEFit
from saetask.saes.training_origin import KEY, training_origin
from saetask.training import runner
from tests.helpers.refusals import refusal


def make_recipe(harvest, **changes):
    """Returns a recipe for a small SAE on the harvest."""
    recipe = TrainConfig(harvest, d_sae=64, options={"k": 4}, batch_size=64, test_tokens=200)
    return replace(recipe, **changes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model):
    """The folder of an SAE that `train` made of the tiny model's layer 2, after four passes."""
    from saetask.data.corpus import CorpusConfig, Source
    from saetask.training.config import HarvestConfig

    folder = tmp_path_factory.mktemp("trained")
    texts = [f"Text {i}. " + f"the {i} boats sail at dawn and return. " * 20 for i in range(60)]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (folder / "texts.jsonl").write_text(lines)
    corpus = CorpusConfig([Source("texts.jsonl")], context_size=32, test_share=0.3)
    harvest = HarvestConfig("blocks.2.hook_resid_post", 1500, corpus, rows_per_shard=16)
    recipe = make_recipe(harvest, samples=6_400, lr=3e-3, dead_after_samples=256)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "load_model", lambda spec: tiny_model)
        train(recipe, folder / "sae", folder)
    return folder / "sae"


@pytest.fixture
def sae(trained):
    return load_sae(trained)


def warnings(capsys):
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == err.count("saetask: warning: ")
    return err


def test_the_record_ties_the_sae_to_model_hook_point_and_bos(sae, tiny_model):
    origin = training_origin(sae)
    assert origin is not None and origin.differences(tiny_model, sae) == []
    assert origin.hook_name == "blocks.2.hook_resid_post" and origin.prepend_bos
    assert 0 < origin.fvu < 1


def test_what_saetask_trained_is_never_refused_where_it_belongs(
    sae, tiny_model, monkeypatch, capsys
):
    """Whatever the probe texts seem to say: a warning at most, of too little training."""
    says = SAEFit(SAEFigures(0.13, 64, 0.98), "it leaves 0.10 without BOS", weak=False)
    monkeypatch.setattr(compatibility, "measure_fit", lambda *given, search: says)
    assert check_sae(tiny_model, sae) == says.figures
    assert "The SAE is undertrained, though it was trained for this model" in warnings(capsys)
    fits = says._replace(misfit="")
    monkeypatch.setattr(compatibility, "measure_fit", lambda *given, search: fits)
    check_sae(tiny_model, sae)
    assert warnings(capsys) == ""


def test_an_undertrained_sae_is_called_so(sae, tiny_model, capsys):
    """It was trained on one sentence, and the probe texts are of eight kinds."""
    figures = check_sae(tiny_model, sae)
    assert figures.fvu > fit.WEAK_FVU
    said = warnings(capsys)
    assert "undertrained" in said and "samples and harvest.tokens in its recipe" in said
    assert "another model" not in said and "refuse" not in said


def test_no_other_use_is_searched_for_where_the_record_decides(sae, tiny_model, monkeypatch):
    monkeypatch.setattr(fit, "rescaled", lambda *given: pytest.fail("searched"))
    check_sae(tiny_model, sae)


def bos_left_out(sae):
    sae.cfg.metadata.prepend_bos = False


def another_layer(sae):
    sae.cfg.metadata.hook_name = "blocks.0.hook_resid_post"


def another_scale(sae):
    sae.fold_activation_norm_scaling_factor(4.0)


def other_settings(sae):
    sae.cfg.apply_b_dec_to_input = False


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (bos_left_out, "prepend_bos True (not False)"),
        (another_layer, "hook point blocks.2.hook_resid_post (not blocks.0.hook_resid_post)"),
        (another_scale, "SAE weights"),
        (other_settings, "SAE settings"),
    ],
)
def test_a_changed_sae_is_not_trusted(sae, tiny_model, change, says):
    changed = copy.deepcopy(sae)
    change(changed)
    origin = training_origin(changed)
    assert origin is not None
    assert any(says in line for line in origin.differences(tiny_model, changed))


def test_a_model_of_other_weights_is_not_the_one_trained_on(
    sae, make_tiny_bridge, make_tiny_hf_model
):
    other = make_tiny_bridge(make_tiny_hf_model(seed=1))
    message = refusal(check_sae, other, sae)
    assert "does not fit tiny-llama" in message and "trained by saetask for weights of" in message


def test_a_fitting_sae_of_another_model_is_warned_about(
    sae, tiny_model, monkeypatch, capsys, make_tiny_bridge, make_tiny_hf_model
):
    fits = SAEFit(SAEFigures(0.1, 4, 0.98))
    monkeypatch.setattr(compatibility, "measure_fit", lambda *given, search: fits)
    check_sae(make_tiny_bridge(make_tiny_hf_model(seed=1)), sae)
    said = warnings(capsys)
    assert "but was not made for it. It was trained by saetask for weights of tiny-llama" in said


@pytest.mark.parametrize("record", [None, 3, {}, {"model_fingerprint": "abc"}])
def test_a_record_of_another_form_is_none(sae, record):
    sae = copy.deepcopy(sae)
    sae.cfg.metadata[KEY] = record
    assert training_origin(sae) is None


def test_the_check_after_training_is_part_of_the_figures_and_of_the_card(trained):
    check = json.loads((trained / "metrics.json").read_text())["check"]
    assert set(check) == {"fvu", "l0", "cross_entropy_recovered", "warning"}
    assert "undertrained" in check["warning"]
    assert "undertrained" in (trained / "README.md").read_text()


def test_a_training_whose_sae_seems_not_to_fit_ends_well(
    harvest_config, tmp_path, tiny_model, monkeypatch, capsys
):
    says = SAEFit(SAEFigures(0.13, 64, 0.98), "it leaves 0.10 without BOS")
    monkeypatch.setattr(compatibility, "measure_fit", lambda *given: says)
    monkeypatch.setattr(runner, "load_model", lambda spec: tiny_model)
    recipe = make_recipe(harvest_config, samples=640, lr=1e-3)
    metrics = train(recipe, tmp_path / "sae", tmp_path)
    assert metrics["check"]["warning"] == "it leaves 0.10 without BOS"
    assert "it leaves 0.10 without BOS" in capsys.readouterr().err


def test_the_record_survives_saving_and_loading(sae, tmp_path, tiny_model):
    sae.save_model(tmp_path)
    again = load_sae(tmp_path)
    origin = training_origin(again)
    assert origin == training_origin(sae) and origin is not None
    assert origin.differences(tiny_model, again) == []
    assert torch.equal(again.W_dec, sae.W_dec)
