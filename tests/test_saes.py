import json
import shutil

import numpy as np
import pytest
import torch

from saetask.errors import UserError
from saetask.models import read_hook
from saetask.prompts import render
from saetask.sae_metrics import cross_entropy_recovered, measure, ordinary_tokens, reconstruction
from saetask.saes import (
    DEFAULT_SAE,
    PROBE_TEXT,
    WORST_FVU,
    check_sae,
    load_sae,
    sae_fingerprint,
    sae_folder,
    shipped_saes,
)


@pytest.fixture
def copied_folder(tiny_sae_folder, tmp_path):
    return shutil.copytree(tiny_sae_folder, tmp_path / "copied")


def refusal(call, *args):
    """The error's message, which must be one line."""
    with pytest.raises(UserError) as caught:
        call(*args)
    message = str(caught.value)
    assert "\n" not in message
    return message


# An SAE that fits the model, and those that do not


def test_the_default_sae_is_shipped_and_fits_the_default_model(model, default_sae):
    assert DEFAULT_SAE in shipped_saes()
    assert (sae_folder(DEFAULT_SAE) / "cfg.json").is_file()
    assert 0 < check_sae(model, default_sae) < 0.4 < WORST_FVU


def test_an_exact_sae_leaves_nothing_unexplained(tiny_model, tiny_sae):
    assert check_sae(tiny_model, tiny_sae) == pytest.approx(0, abs=1e-6)


def test_an_sae_of_another_width_is_refused_with_both_widths(tiny_model, make_tiny_sae):
    message = refusal(check_sae, tiny_model, make_tiny_sae(d_in=48, model_name="gpt-tiny"))
    assert "d_in is 48" in message
    assert "width 32" in message
    assert "gpt-tiny" in message


def test_an_sae_for_a_missing_hook_point_is_refused(tiny_model, make_tiny_sae):
    sae = make_tiny_sae(hook_name="blocks.15.hook_resid_post", model_name="gpt-tiny")
    message = refusal(check_sae, tiny_model, sae)
    assert "'blocks.15.hook_resid_post' does not exist" in message
    assert "made for gpt-tiny" in message


@pytest.mark.parametrize("hook_name", [None, ""])
def test_an_sae_without_a_hook_point_is_refused(tiny_model, make_tiny_sae, hook_name):
    message = refusal(check_sae, tiny_model, make_tiny_sae(hook_name=hook_name))
    assert "names no hook point" in message


def test_an_sae_of_another_model_of_the_same_width_is_refused(tiny_model, make_tiny_sae):
    sae = make_tiny_sae(model_name="gpt-tiny")
    with torch.no_grad():
        sae.W_dec.copy_(sae.W_dec.roll(1, dims=0))
    message = refusal(check_sae, tiny_model, sae)
    assert "does not reconstruct tiny-llama" in message
    assert "made for gpt-tiny at blocks.2.hook_resid_post" in message


def test_the_default_sae_is_refused_at_a_layer_far_away(monkeypatch, model, default_sae):
    monkeypatch.setattr(default_sae.cfg.metadata, "hook_name", "blocks.28.hook_resid_post")
    assert "of the variance is left unexplained" in refusal(check_sae, model, default_sae)


def test_an_sae_that_takes_no_token_of_the_model_is_refused(tiny_model, make_tiny_sae):
    """Its norm limit comes from a model with smaller activations."""
    assert "norm" in refusal(check_sae, tiny_model, make_tiny_sae(norm_limit=1e-6))


def test_an_sae_of_not_a_number_is_refused(tiny_model, make_tiny_sae):
    sae = make_tiny_sae()
    with torch.no_grad():
        sae.b_dec.fill_(float("nan"))
    assert "does not reconstruct" in refusal(check_sae, tiny_model, sae)


# Loading


def test_a_folder_gives_back_the_sae_saved(tiny_sae_folder, tiny_sae):
    for spec in (tiny_sae_folder, str(tiny_sae_folder)):
        loaded = load_sae(spec)
        assert loaded.cfg.metadata.hook_name == "blocks.2.hook_resid_post"
        assert loaded.cfg.metadata.model_name == "tiny-llama"
        inputs = torch.linspace(-2, 2, 64).reshape(2, 32)
        torch.testing.assert_close(loaded.encode(inputs), tiny_sae.encode(inputs))
        torch.testing.assert_close(loaded(inputs), inputs)


def test_weights_come_in_the_dtype_asked_for(tiny_sae_folder):
    assert load_sae(tiny_sae_folder).W_dec.dtype == torch.float32
    assert load_sae(tiny_sae_folder, dtype="bfloat16").W_dec.dtype == torch.bfloat16


def test_a_live_sae_is_returned_as_it_is(tiny_sae):
    assert load_sae(tiny_sae) is tiny_sae


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_a_folder_that_lacks_a_file_is_refused_by_that_files_name(copied_folder, name):
    (copied_folder / name).unlink()
    message = refusal(load_sae, copied_folder)
    assert f"has no {name}" in message
    assert str(copied_folder) in message


@pytest.mark.parametrize("damage", ["cut short", "nonsense", "empty"])
def test_damaged_weights_are_refused_with_the_folder(copied_folder, damage):
    weights = copied_folder / "sae_weights.safetensors"
    whole = weights.read_bytes()
    parts = {"cut short": whole[: len(whole) // 2], "nonsense": b"?" * 500, "empty": b""}
    weights.write_bytes(parts[damage])
    message = refusal(load_sae, copied_folder)
    assert f"Cannot load the SAE in {copied_folder}" in message


def test_a_config_that_is_no_config_is_refused_with_the_folder(copied_folder):
    config = json.loads((copied_folder / "cfg.json").read_text())
    for text in ("{ nonsense", "{}", json.dumps({**config, "d_in": 31})):
        (copied_folder / "cfg.json").write_text(text)
        assert str(copied_folder) in refusal(load_sae, copied_folder)


def test_an_unknown_alias_is_refused_with_the_right_one():
    message = refusal(load_sae, "smollm2-135m-instruct-res16")
    assert "no shipped alias, no folder and no SAE-Lens release" in message
    assert f"Did you mean '{DEFAULT_SAE}'?" in message


def test_a_misspelt_release_or_sae_id_is_refused_with_the_right_one():
    assert "Did you mean 'gpt2-small-res-jb'?" in refusal(load_sae, "gpt2-small-res-jp/x")
    message = refusal(load_sae, "gpt2-small-res-jb/blocks.8.hook_resid_prä")
    assert "release 'gpt2-small-res-jb' has no SAE 'blocks.8.hook_resid_prä'" in message
    assert "Did you mean 'blocks.8.hook_resid_pre'?" in message


def test_the_fingerprint_tells_weights_apart_and_survives_saving(
    tiny_sae, tiny_sae_folder, make_tiny_sae
):
    assert sae_fingerprint(load_sae(tiny_sae_folder)) == sae_fingerprint(tiny_sae)
    other = make_tiny_sae()
    with torch.no_grad():
        other.W_enc[0, 0] = 2
    assert sae_fingerprint(other) != sae_fingerprint(tiny_sae)


# Figures


@pytest.fixture(scope="module")
def lossy_sae(make_tiny_sae):
    """Drops the first two axes, keeps half of the third, and adds a little everywhere."""
    sae = make_tiny_sae()
    with torch.no_grad():
        sae.W_dec[[0, 1, 32, 33]] = 0
        sae.W_dec[[2, 34]] *= 0.5
        sae.b_dec.fill_(0.01)
    return sae


def test_figures_equal_those_computed_by_hand(lossy_sae):
    inputs = np.random.default_rng(0).normal(1, 2, (50, 32)).astype(np.float32)
    inputs[:, 5] = 0  # features 5 and 37: the bias is subtracted, so 37 fires and 5 never does
    batches = [torch.from_numpy(part) for part in (inputs[:7], inputs[7:8], inputs[8:])]
    with torch.inference_mode():
        output = lossy_sae(torch.from_numpy(inputs)).numpy().astype(np.float64)
        features = lossy_sae.encode(torch.from_numpy(inputs)).numpy()
    inputs = inputs.astype(np.float64)
    found = measure(lossy_sae, iter(batches))
    error = ((output - inputs) ** 2).sum()
    assert error > 1
    assert found.normalised_mse == pytest.approx(error / (inputs**2).sum(), rel=1e-5)
    variance = ((inputs - inputs.mean(0)) ** 2).sum()
    assert found.fvu == pytest.approx(error / variance, rel=1e-5)
    assert found.l0 == pytest.approx((features > 0).sum(1).mean())
    assert found.alive_share == pytest.approx((features > 0).any(0).mean())
    assert found.alive_share < 1
    assert found.n_tokens == 50


def test_batching_does_not_change_figures(lossy_sae):
    inputs = torch.randn(40, 32, generator=torch.Generator().manual_seed(0)) + 3
    whole = measure(lossy_sae, iter([inputs]))
    assert measure(lossy_sae, iter(inputs.split(3))) == pytest.approx(whole, rel=1e-6)


def test_an_sae_that_says_the_mean_has_an_fvu_of_1(make_tiny_sae):
    inputs = torch.randn(200, 32, generator=torch.Generator().manual_seed(0)) + 3
    sae = make_tiny_sae()
    with torch.no_grad():
        sae.W_dec.zero_()
        sae.b_dec.copy_(inputs.mean(0))
    found = measure(sae, iter([inputs]))
    assert found.fvu == pytest.approx(1, rel=1e-5)
    assert found.normalised_mse < 0.5


def test_reconstruction_leaves_special_tokens_out(tiny_model, lossy_sae):
    texts = ["The bank of the river.", "Anna went to Oslo<|im_end|> again."]
    special = tiny_model.tokenizer.all_special_ids
    rows = [render(tiny_model.tokenizer, text).token_ids for text in texts]
    kept = [
        read_hook(tiny_model, torch.tensor([row]), "blocks.2.hook_resid_post")[0][
            torch.tensor([token not in special for token in row])
        ]
        for row in rows
    ]
    found = reconstruction(tiny_model, lossy_sae, texts)
    assert found.n_tokens == sum(map(len, rows)) - 3
    assert found == pytest.approx(measure(lossy_sae, iter(kept)), rel=1e-5)


def test_ordinary_tokens_are_neither_special_nor_beyond_the_norm_limit(make_tiny_sae):
    tokens = torch.tensor([1, 5, 6, 2, 7])
    activations = torch.tensor([1.0, 2.0, 4.0, 1.0, 3.0])[:, None] * torch.eye(5, 32)
    unlimited = ordinary_tokens(tokens, activations, make_tiny_sae(), {1, 2})
    assert unlimited.tolist() == [False, True, True, False, True]
    limited = ordinary_tokens(tokens, activations, make_tiny_sae(norm_limit=3.0), {1, 2})
    assert limited.tolist() == [False, True, False, False, True]


# The loss that reconstruction keeps


@pytest.fixture(scope="module")
def probe_rows(tiny_model):
    return [render(tiny_model.tokenizer, text).token_ids for text in (PROBE_TEXT, "Anna went.")]


def test_an_exact_sae_recovers_the_whole_loss(tiny_model, tiny_sae, probe_rows):
    found = cross_entropy_recovered(tiny_model, tiny_sae, probe_rows)
    assert found == pytest.approx(1, abs=1e-3)


def test_an_sae_that_says_zero_recovers_nothing(tiny_model, make_tiny_sae, probe_rows):
    sae = make_tiny_sae()
    with torch.no_grad():
        sae.W_dec.zero_()
    assert cross_entropy_recovered(tiny_model, sae, probe_rows) == pytest.approx(0, abs=1e-3)


def test_the_default_sae_recovers_most_of_the_loss(model, default_sae):
    rows = [render(model.tokenizer, PROBE_TEXT).token_ids[:40]]
    assert 0.8 < cross_entropy_recovered(model, default_sae, rows) < 1.05
