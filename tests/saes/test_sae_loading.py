import json
import shutil
from math import isfinite

import pytest
import torch
from sae_lens.registry import SAE_CLASS_REGISTRY, SAE_TRAINING_CLASS_REGISTRY
from safetensors.torch import load_file, save_file

from saetask.models.hooks import read_hook
from saetask.saes.compatibility import check_sae
from saetask.saes.extraction import read_features
from saetask.saes.loading import DEFAULT_SAE, load_sae, sae_fingerprint, sae_folder, shipped_saes
from tests.conftest import TINY_HOOK
from tests.helpers.refusals import refusal


@pytest.fixture
def copied_folder(tiny_sae_folder, tmp_path):
    return shutil.copytree(tiny_sae_folder, tmp_path / "copied")


# Loading


def test_the_default_sae_is_shipped():
    assert DEFAULT_SAE in shipped_saes()
    assert (sae_folder(DEFAULT_SAE) / "cfg.json").is_file()


def test_a_folder_gives_back_the_sae_saved(tiny_sae_folder, tiny_sae):
    for spec in (tiny_sae_folder, str(tiny_sae_folder)):
        loaded = load_sae(spec)
        assert loaded.cfg.metadata.hook_name == "blocks.2.hook_resid_post"
        assert loaded.cfg.metadata.model_name == "tiny-llama"
        inputs = torch.linspace(-2, 2, 64).reshape(2, 32)
        torch.testing.assert_close(loaded.encode(inputs), tiny_sae.encode(inputs))
        torch.testing.assert_close(loaded(inputs), inputs)


def test_weights_are_float32(tiny_sae_folder):
    assert load_sae(tiny_sae_folder).W_dec.dtype == torch.float32


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


@pytest.mark.parametrize("spec", ["/no/such/folder", "./sae", "../sae", "~/no-such-sae"])
def test_a_path_to_nothing_is_called_a_path(spec):
    assert refusal(load_sae, spec) == f"SAE folder {spec} does not exist."


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


def rewrite(folder, config=None, metadata=None, without=(), weights=None):
    """Changes a saved folder's config and weights."""
    read = json.loads((folder / "cfg.json").read_text())
    read = {k: v for k, v in {**read, **(config or {})}.items() if k not in without}
    read["metadata"] = {**read["metadata"], **(metadata or {})}
    (folder / "cfg.json").write_text(json.dumps(read))
    if weights:
        path = folder / "sae_weights.safetensors"
        save_file(weights(load_file(path)), path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"config": {"d_in": 31}}, "W_dec is [64, 32], not [64, 31]"),
        ({"config": {"d_sae": 63}}, "b_enc is [64], not [63]"),
        ({"config": {"d_in": "32"}}, "'d_in' is '32'; expected a whole number"),
        ({"config": {"k": 0}}, "k is 0; it must be from 1 to d_sae (64)"),
        ({"config": {"k": 65}}, "k is 65; it must be from 1 to d_sae (64)"),
        ({"config": {"k": True}}, "'k' is True; expected a whole number"),
        ({"without": ["k"]}, "'k' is missing; architecture 'topk' needs it"),
        ({"without": ["architecture"]}, "'architecture' is missing; it is one of abstopk, gated"),
        ({"config": {"architecture": "topq"}}, "unknown architecture 'topq'. Did you mean 'topk'?"),
        ({"config": {"architecture": "standard"}}, "'k' is no setting of architecture 'standard'"),
        (
            {
                "config": {"architecture": "jumprelu"},
                "without": ["k", "rescale_acts_by_decoder_norm"],
            },
            "it lacks threshold",
        ),
        (
            {
                "config": {"architecture": "standard"},
                "without": ["k", "rescale_acts_by_decoder_norm"],
                "metadata": {"training_architecture": "topk"},
            },
            "metadata.training_architecture says 'topk'",
        ),
        ({"config": {"apply_b_dec_to_input": "false"}}, "expected true or false"),
        ({"config": {"reshape_activations": "hook_q"}}, "expected one of none, hook_z"),
        ({"metadata": {"hook_name": 3}}, "'metadata.hook_name' is 3; expected a text"),
        ({"metadata": {"norm_limit": "3"}}, "'metadata.norm_limit' is '3'; expected a number"),
        ({"metadata": {"prepend_bos": "no"}}, "'metadata.prepend_bos' is 'no'; expected true or"),
        ({"metadata": {"seqpos_slice": ["1"]}}, "'metadata.seqpos_slice' must be a list of whole"),
        ({"weights": lambda w: {**w, "W_dec": w["W_dec"].T.contiguous()}}, "transpose them"),
        ({"weights": lambda w: {**w, "W_enc": w["W_enc"] / 0}}, "W_enc has values that are NaN or"),
        ({"weights": lambda w: {**w, "b_enc": w["b_enc"].int()}}, "b_enc has type I32; floating"),
        (
            {"weights": lambda w: {**w, "scale": w["b_enc"] + 1}},
            "it has, but should not have, scale",
        ),
        ({"weights": lambda w: {k: v for k, v in w.items() if k != "b_dec"}}, "it lacks b_dec"),
    ],
)
def test_a_folder_that_would_be_read_as_another_sae_than_it_is_is_refused(
    copied_folder, change, says
):
    rewrite(copied_folder, **change)
    message = refusal(load_sae, copied_folder)
    assert says in message and str(copied_folder) in message


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_any_floating_point_type_are_read(copied_folder, tiny_sae, dtype):
    rewrite(copied_folder, weights=lambda w: {name: value.to(dtype) for name, value in w.items()})
    loaded = load_sae(copied_folder)
    inputs = torch.linspace(-2, 2, 64).reshape(2, 32)
    assert loaded.W_dec.dtype == torch.float32
    torch.testing.assert_close(loaded(inputs), tiny_sae(inputs))


def test_decoder_rows_of_any_length_decode_as_they_are(copied_folder):
    rewrite(
        copied_folder, weights=lambda w: {**w, "W_dec": w["W_dec"] * 3, "W_enc": w["W_enc"] / 3}
    )
    inputs = torch.linspace(-2, 2, 64).reshape(2, 32)
    torch.testing.assert_close(load_sae(copied_folder)(inputs), inputs)


# Every architecture that SAE-Lens can load


def test_every_architecture_comes_back_from_disk_as_it_was(any_architecture, tmp_path):
    any_architecture.save_model(tmp_path)
    loaded = load_sae(tmp_path)
    assert type(loaded) is type(any_architecture)
    inputs = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(loaded.encode(inputs), any_architecture.encode(inputs))
        torch.testing.assert_close(loaded(inputs), any_architecture(inputs))


def test_every_architecture_reads_prompts_as_sae_lens_encodes_them(any_architecture, tiny_model):
    sae = any_architecture
    reading = read_features(tiny_model, sae, ["The bank of the river was steep."])
    tokens = torch.tensor([reading.prompts[0].token_ids])
    with torch.inference_mode():
        expected = sae.encode(read_hook(tiny_model, tokens, sae.cfg.metadata.hook_name))[0]
        expected[0] = 0  # BOS is not read
    found = torch.zeros_like(expected)
    for firing in reading.firings():
        found[firing.token, firing.feature] = firing.value
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    assert found.any()


def test_every_architecture_is_measured_by_the_check(any_architecture, tiny_model):
    figures = check_sae(tiny_model, any_architecture, allow_mismatch=True)
    assert all(isfinite(value) for value in figures)
    assert 0 < figures.l0 < 64


@pytest.mark.parametrize("name", sorted(SAE_TRAINING_CLASS_REGISTRY.keys() - SAE_CLASS_REGISTRY))
def test_a_training_checkpoint_that_can_not_encode_one_prompt_is_refused(copied_folder, name):
    config = json.loads((copied_folder / "cfg.json").read_text())
    (copied_folder / "cfg.json").write_text(json.dumps({**config, "architecture": name}))
    assert f"is a training checkpoint ({name})" in refusal(load_sae, copied_folder)


# Metadata of the HookedTransformer era


def write_old_config(folder, **changes):
    """Rewrites a folder's cfg.json as SAE-Lens wrote it before version 6."""
    config = {
        "architecture": "standard",
        "d_in": 32,
        "d_sae": 64,
        "dtype": "torch.float32",
        "device": "cpu",
        "model_name": "tiny-llama",
        "hook_point": "blocks.2.hook_resid_post",
        "hook_layer": 2,
        "hook_point_head_index": None,
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 32},
        "normalize_activations": False,
        "context_size": 128,
    }
    (folder / "cfg.json").write_text(json.dumps({**config, **changes}))


def test_a_folder_from_before_version_6_is_read_by_its_old_names(copied_folder, tiny_model):
    write_old_config(copied_folder, prepend_bos=False, seqpos_slice=[1, None])
    sae = load_sae(copied_folder)
    assert sae.cfg.architecture() == "topk"
    assert check_sae(tiny_model, sae).fvu == pytest.approx(0, abs=1e-6)
    reading = read_features(tiny_model, sae, ["The bank of the river."])
    tokens = reading.prompts[0].token_ids
    assert tokens[0] != tiny_model.tokenizer.bos_token_id
    assert {firing.token for firing in reading.firings()} == set(range(1, len(tokens)))


def test_an_old_folder_for_attention_heads_reads_them_at_the_bridges_alias(
    copied_folder, tiny_model
):
    write_old_config(copied_folder, hook_point="blocks.1.attn.hook_z")
    sae = load_sae(copied_folder)
    assert sae.cfg.reshape_activations == "hook_z"
    assert check_sae(tiny_model, sae).fvu == pytest.approx(0, abs=1e-6)
    assert len(read_features(tiny_model, sae, ["The bank."]).values)


# Normalisation that SAE-Lens leaves to its callers


@pytest.fixture
def save_unfolded(make_memorising_sae, tiny_model):
    """Saves an SAE whose weights expect their input divided by 4."""

    def save(folder, **metadata):
        sae = make_memorising_sae(
            tiny_model,
            change=lambda rows: rows / 4,
            normalize_activations="expected_average_only_in",
            metadata=metadata,
        )
        sae.save_model(folder)
        return folder

    return save


def test_a_scale_that_sae_lens_leaves_unfolded_is_folded(tmp_path, save_unfolded, tiny_model):
    sae = load_sae(save_unfolded(tmp_path, norm_scaling_factor=0.25))
    assert sae.cfg.normalize_activations == "none"
    assert check_sae(tiny_model, sae).fvu < 1e-3


def test_an_unknown_scale_is_refused_by_the_key_that_should_tell_it(tmp_path, save_unfolded):
    message = refusal(load_sae, save_unfolded(tmp_path))
    assert "expected_average_only_in" in message
    assert "cfg.json as norm_scaling_factor" in message


def test_a_local_copy_of_a_release_has_the_releases_scale(
    tmp_path, save_unfolded, make_memorising_sae, tiny_model
):
    from sae_lens.loading.pretrained_saes_directory import get_norm_scaling_factor

    release, sae_id = "gpt2-small-mlp-tm", "blocks.0.hook_mlp_out"
    known = get_norm_scaling_factor(release, sae_id)
    assert known
    sae = load_sae(save_unfolded(tmp_path / release / sae_id))
    plain = make_memorising_sae(tiny_model, change=lambda rows: rows / 4)
    torch.testing.assert_close(sae.W_enc, plain.W_enc * known)


# Releases


@pytest.fixture
def mirror(tmp_path, monkeypatch, tiny_sae_folder):
    """A hub cache without a network behind it, with one SAE of a release and one of nobody's."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for repository, path in (
        ("jbloom--GPT2-Small-SAEs-Reformatted", "blocks.8.hook_resid_pre"),
        ("nobody--some-saes", "layers/two"),
    ):
        root = tmp_path / f"models--{repository}"
        folder = root / "snapshots" / "0" / path
        shutil.copytree(tiny_sae_folder, folder)
        write_old_config(folder)
        save_file({"sparsity": torch.zeros(64)}, folder / "sparsity.safetensors")
        (root / "refs").mkdir()
        (root / "refs" / "main").write_text("0")


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize(
    "spec", ["gpt2-small-res-jb/blocks.8.hook_resid_pre", "nobody/some-saes/layers/two"]
)
def test_releases_and_repositories_come_from_the_hubs_cache(spec, tiny_sae):
    sae = load_sae(spec)
    assert sae.cfg.metadata.hook_name == "blocks.2.hook_resid_post"
    torch.testing.assert_close(sae.W_enc, tiny_sae.W_enc)


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize("spec", ["gpt2-small-res-jb/blocks.7.hook_resid_pre", "no/such/sae"])
def test_an_sae_that_can_not_be_downloaded_is_refused_in_one_line(spec):
    assert f"Could not download the SAE '{spec}'" in refusal(load_sae, spec)


def test_any_weight_and_whatever_encodes_counts_in_the_fingerprint(make_tiny_sae):
    first = make_tiny_sae()
    found = {sae_fingerprint(first)}
    for change in ("the last weight", "k", "norm_limit", "hook", "scaling"):
        sae = make_tiny_sae(hook_name="blocks.1.hook_resid_post" if change == "hook" else TINY_HOOK)
        if change == "the last weight":
            with torch.no_grad():
                sae.W_dec[-1, -1] = torch.nextafter(sae.W_dec[-1, -1], torch.tensor(2.0))
        elif change == "k":
            sae.cfg.k -= 1
        elif change == "norm_limit":
            sae.cfg.metadata.norm_limit = 5.0
        elif change == "scaling":
            sae.cfg.rescale_acts_by_decoder_norm = not first.cfg.rescale_acts_by_decoder_norm
        found.add(sae_fingerprint(sae))
    assert len(found) == 6
