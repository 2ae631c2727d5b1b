"""SAEs that fit the model, and the ways in which one does not."""

import copy
import re

import pytest
import torch

from saetask.errors import UserError
from saetask.models.hooks import read_hook
from saetask.saes.compatibility import check_sae
from saetask.saes.extraction import read_features
from saetask.saes.metrics import measure_reconstruction, read_reconstruction_inputs
from saetask.saes.probe_text import PROBE_TEXTS, PROBE_TOKENS, probe_rows
from tests.helpers.refusals import refusal

OTHER_TEXTS = (
    "The ministry said on Tuesday that exports fell by 4.2 percent in the third quarter, as demand "
    "from neighbouring countries weakened. Analysts had expected a fall of about 2 percent.",
    "A good map leaves out more than it shows. The walker wants paths and springs; the engineer "
    "wants slopes; neither cares where the parish ends, although the clerk cares for little else.",
    "The old violin had been repaired so often that hardly a piece of the first instrument was "
    "left, but its owner insisted that it still sounded as it had when his grandmother played it.",
    "Bees find their way home by the sun, even when a cloud hides it, because they can see how the "
    "light of the sky is polarised. A strip of blue is enough for them to know where the sun is.",
)


def refused_for_its_figures(model, sae):
    message = refusal(check_sae, model, sae)
    for figure in ("fraction of variance unexplained", "L0", "cross-entropy recovered"):
        assert figure in message
    assert "--allow-sae-mismatch" in message
    return message


# An SAE that fits


def test_the_default_sae_fits_the_default_model(model, default_sae):
    figures = check_sae(model, default_sae)
    assert 0.1 < figures.fvu < 0.2
    assert 70 < figures.l0 < 100
    assert 0.95 < figures.cross_entropy_recovered < 1.02


def test_the_default_sae_fits_on_a_text_that_the_margin_was_not_chosen_on(
    monkeypatch, model, default_sae
):
    monkeypatch.setattr("saetask.saes.probe_text.PROBE_TEXTS", OTHER_TEXTS)
    assert check_sae(model, default_sae).fvu < 0.2


def test_an_exact_sae_leaves_nothing_unexplained(tiny_model, tiny_sae, make_memorising_sae):
    assert check_sae(tiny_model, tiny_sae).fvu == pytest.approx(0, abs=1e-6)
    figures = check_sae(tiny_model, make_memorising_sae(tiny_model))
    assert figures == pytest.approx((0, 1, 1), abs=1e-2)


def test_the_figures_are_those_of_plain_measuring(tiny_model, make_tiny_sae):
    sae = make_tiny_sae()
    with torch.no_grad():
        sae.W_dec[[0, 32]] = 0
    rows = probe_rows(tiny_model, bos=True)
    found = check_sae(tiny_model, sae)
    plain = measure_reconstruction(
        sae, (read_reconstruction_inputs(tiny_model, sae, row) for row in rows)
    )
    assert found.fvu == pytest.approx(plain.fvu, rel=1e-4)
    assert found.l0 == pytest.approx(plain.l0)


def test_checking_leaves_model_and_sae_as_they_were(tiny_model, make_memorising_sae):
    sae = make_memorising_sae(tiny_model, normalize_activations="layer_norm")
    before = copy.deepcopy(sae.state_dict()), dict(sae.cfg.metadata.items())
    check_sae(tiny_model, sae, allow_mismatch=True)
    assert not any(point.fwd_hooks for point in tiny_model.hook_dict.values())
    assert all(torch.equal(a, b) for a, b in zip(sae.state_dict().values(), before[0].values()))
    assert dict(sae.cfg.metadata.items()) == before[1]


# Another layer


@pytest.mark.parametrize("layer", [8, 14, 16, 22])
def test_the_default_sae_is_refused_at_another_layer_with_its_own(
    monkeypatch, model, default_sae, layer
):
    monkeypatch.setattr(default_sae.cfg.metadata, "hook_name", f"blocks.{layer}.hook_resid_post")
    message = refused_for_its_figures(model, default_sae)
    assert "at layer 15 (blocks.15.hook_resid_post)" in message
    assert f"made for smollm2-135m-instruct at blocks.{layer}.hook_resid_post" in message


@pytest.mark.parametrize("kind", ["hook_resid_post", "hook_mlp_out", "attn.hook_z"])
def test_an_sae_at_another_layer_is_refused_with_its_own(tiny_model, make_memorising_sae, kind):
    sae = make_memorising_sae(tiny_model, f"blocks.2.{kind}")
    check_sae(tiny_model, sae)
    sae.cfg.metadata.hook_name = f"blocks.1.{kind}"
    assert f"it leaves 0.00 at layer 2 (blocks.2.{kind})" in refused_for_its_figures(
        tiny_model, sae
    )


# Another model


def test_an_sae_of_another_model_of_the_same_width_is_refused(
    tiny_model, make_memorising_sae, make_tiny_bridge, make_tiny_hf_model
):
    other = make_tiny_bridge(make_tiny_hf_model(seed=1))
    sae = make_memorising_sae(other)
    check_sae(other, sae)
    message = refused_for_its_figures(tiny_model, sae)
    assert "does not fit tiny-llama" in message
    assert "belongs to another model, layer or processing" in message


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


def test_an_sae_that_takes_no_token_of_the_model_is_refused(tiny_model, make_tiny_sae):
    """Its norm limit comes from a model with smaller activations."""
    assert "norm" in refusal(check_sae, tiny_model, make_tiny_sae(norm_limit=1e-6))


# BOS


@pytest.mark.parametrize("bos", [True, False])
def test_an_sae_is_read_with_bos_or_without_as_it_was_trained(tiny_model, make_memorising_sae, bos):
    sae = make_memorising_sae(tiny_model, bos=bos)
    assert check_sae(tiny_model, sae).fvu == pytest.approx(0, abs=1e-3)
    reading = read_features(tiny_model, sae, [PROBE_TEXTS[0]])
    assert list(reading.features)[:PROBE_TOKENS] == list(range(PROBE_TOKENS)), "each fires its own"


@pytest.mark.parametrize("bos", [True, False])
def test_an_sae_whose_bos_handling_is_misstated_is_refused(tiny_model, make_memorising_sae, bos):
    sae = make_memorising_sae(tiny_model, bos=bos, metadata={"prepend_bos": not bos})
    message = refused_for_its_figures(tiny_model, sae)
    assert ("with BOS" if bos else "without BOS") in message
    assert f"metadata.prepend_bos: {str(bos).lower()}" in message


# Normalisation


def mean_norm_scale(model):
    tokens = torch.tensor(probe_rows(model, bos=True))
    norms = read_hook(model, tokens, "blocks.2.hook_resid_post")[:, 1:].norm(dim=-1)
    return (32**0.5 / norms.mean()).item()


def to_root_norm(rows):
    return rows * rows.shape[1] ** 0.5 / rows.norm(dim=-1, keepdim=True)


def to_layer_norm(rows):
    return (rows - rows.mean(-1, keepdim=True)) / rows.std(-1, keepdim=True)


def test_an_sae_with_an_unfolded_scale_is_refused_by_that_scale(tiny_model, make_memorising_sae):
    scale = mean_norm_scale(tiny_model)
    sae = make_memorising_sae(tiny_model, change=lambda rows: rows * scale)
    message = refused_for_its_figures(tiny_model, sae)
    named = re.search(r"normalisation: with its input multiplied by (\d+\.\d+)", message)
    assert named and float(named[1]) == pytest.approx(scale, rel=0.05)
    sae.fold_activation_norm_scaling_factor(scale)
    check_sae(tiny_model, sae)


@pytest.mark.parametrize("factor", [0.14, 0.6, 0.7, 0.8, 1.5, 4.0])
def test_the_default_sae_at_a_wrong_scale_is_refused(model, default_sae, factor):
    sae = copy.deepcopy(default_sae)
    sae.fold_activation_norm_scaling_factor(factor)
    assert "normalisation: with its input multiplied by" in refused_for_its_figures(model, sae)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("constant_norm_rescale", to_root_norm, "each input scaled to norm sqrt(d_in)"),
        ("layer_norm", to_layer_norm, "layer-normalised input"),
    ],
)
def test_normalisation_when_encoding_must_be_the_one_trained_with(
    tiny_model, make_memorising_sae, name, change, says
):
    right = make_memorising_sae(tiny_model, change=change, normalize_activations=name)
    assert check_sae(tiny_model, right).fvu < 1e-3
    missing = make_memorising_sae(tiny_model, change=change)
    assert f"normalisation: with {says}" in refused_for_its_figures(tiny_model, missing)
    superfluous = make_memorising_sae(tiny_model, normalize_activations=name)
    message = refused_for_its_figures(tiny_model, superfluous)
    assert f"normalisation: without the {name} that its cfg.json names" in message


def test_an_sae_for_centred_writing_weights_is_refused_by_that_processing(
    tiny_model, make_memorising_sae
):
    def change(rows):
        return rows - rows.mean(-1, keepdim=True)

    sae = make_memorising_sae(tiny_model, change=change)
    assert "its input centred" in refused_for_its_figures(tiny_model, sae)


# Figures that say no by themselves


def test_an_sae_of_not_a_number_is_refused(tiny_model, make_tiny_sae):
    sae = make_tiny_sae()
    with torch.no_grad():
        sae.b_dec.fill_(float("nan"))
    for insists in (False, True):
        message = refusal(check_sae, tiny_model, sae, allow_mismatch=insists)
        assert "is not finite (fraction of variance unexplained nan" in message


def test_an_sae_that_fires_most_of_its_features_is_refused(tiny_model, make_tiny_sae):
    """Its decoding is exact, but nothing about it is sparse."""
    sae = make_tiny_sae()
    sae.activation_fn.k = 64
    with torch.no_grad():
        sae.b_enc.fill_(100)  # both directions of each axis fire, and cancel
    assert "L0 64" in refused_for_its_figures(tiny_model, sae)


# Going on all the same


def test_insisting_turns_the_refusal_into_one_warning_with_the_figures(
    tiny_model, make_memorising_sae, capsys
):
    sae = make_memorising_sae(tiny_model)
    sae.cfg.metadata.hook_name = "blocks.1.hook_resid_post"
    figures = check_sae(tiny_model, sae, allow_mismatch=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("saetask: warning: ") and err.count("\n") == 1
    assert f"fraction of variance unexplained {figures.fvu:.2f}" in err
    assert "at layer 2" in err


def test_insisting_says_nothing_where_nothing_is_wrong(tiny_model, tiny_sae, capsys):
    check_sae(tiny_model, tiny_sae, allow_mismatch=True)
    assert capsys.readouterr().err == ""


def test_what_can_not_be_read_is_refused_even_if_insisted_on(tiny_model, make_tiny_sae):
    with pytest.raises(UserError, match="d_in is 48"):
        check_sae(tiny_model, make_tiny_sae(d_in=48), allow_mismatch=True)


# Transcoders


def test_a_transcoder_is_checked_against_the_hook_point_it_reconstructs(
    tiny_model, make_memorising_transcoder
):
    figures = check_sae(tiny_model, make_memorising_transcoder(tiny_model, 2))
    assert figures.fvu < 1e-3
    assert figures.cross_entropy_recovered == pytest.approx(1, abs=0.02)


def test_a_transcoder_of_another_layer_is_refused_with_its_own(
    tiny_model, make_memorising_transcoder
):
    transcoder = make_memorising_transcoder(tiny_model, 2)
    transcoder.cfg.metadata.hook_name = "blocks.1.mlp.hook_in"
    transcoder.cfg.metadata.hook_name_out = "blocks.1.hook_mlp_out"
    message = refused_for_its_figures(tiny_model, transcoder)
    assert "at layer 2 (blocks.2.mlp.hook_in)" in message


def test_a_transcoder_whose_output_is_not_where_it_says_is_refused(
    tiny_model, make_memorising_transcoder
):
    transcoder = make_memorising_transcoder(tiny_model, 2)
    fvu = check_sae(tiny_model, transcoder).fvu
    transcoder.cfg.metadata.hook_name_out = None
    assert fvu < 0.1
    assert "unexplained 0.0" not in refused_for_its_figures(tiny_model, transcoder)


def test_reading_through_a_transcoder_needs_its_input_only(tiny_model, make_memorising_transcoder):
    transcoder = make_memorising_transcoder(tiny_model, 2)
    whole = read_features(tiny_model, transcoder, ["The bank."])
    transcoder.cfg.metadata.hook_name_out = "nowhere"
    assert list(read_features(tiny_model, transcoder, ["The bank."]).values) == list(whole.values)
    assert len(whole.values)
