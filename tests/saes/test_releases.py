"""Releases that SAE-Lens lists, from mirrors: what the hub holds is made up, in its own format."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from saetask import check_sae, load_model, load_sae, read_features
from tests.helpers import tiny_models
from tests.helpers.gemma_scope import (
    LAYERS,
    MODEL,
    RELEASE,
    REPOSITORY,
    SAE_ID,
    write_gemma_scope,
)
from tests.helpers.hub_mirror import add_to_cache, serve
from tests.helpers.refusals import refusal

NAME = f"{RELEASE}/{SAE_ID}"
WIDTH = 32
PROMPT = "She swallowed the insult."


@pytest.fixture(scope="module")
def folders(tmp_path_factory, tiny_tokenizer):
    """The repositories of a small Gemma 3 and of its SAEs, as folders, by their hub ids."""
    root = tmp_path_factory.mktemp("hub")
    attention = ["sliding_attention"] * 5 + ["full_attention"]
    model = tiny_models.build(
        "gemma3_text", tiny_tokenizer, num_hidden_layers=LAYERS, layer_types=attention * 3
    )
    tiny_models.save(model, tiny_tokenizer, root / "model")
    write_gemma_scope(root / "saes", WIDTH)
    return {MODEL: root / "model", REPOSITORY: root / "saes"}


@pytest.fixture
def cached(folders, tmp_path, monkeypatch):
    """A hub cache with both, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for repository, folder in folders.items():
        add_to_cache(tmp_path, repository, folder)
    return tmp_path


@pytest.mark.usefixtures("cached")
def test_gemma_scope_2_is_converted_by_sae_lens_from_the_cache_without_a_network(monkeypatch):
    from sae_lens.loading import pretrained_sae_loaders as loaders

    shapes = loaders.get_safetensors_tensor_shapes
    converted = []
    convert = loaders.NAMED_PRETRAINED_SAE_LOADERS["gemma_3"]

    def recorded(**options):
        converted.append((options["repo_id"], options["folder_name"]))
        return convert(**options)

    monkeypatch.setitem(loaders.NAMED_PRETRAINED_SAE_LOADERS, "gemma_3", recorded)
    sae = load_sae(NAME, device="cpu")
    assert converted == [(REPOSITORY, f"resid_post/{SAE_ID}")]
    assert loaders.get_safetensors_tensor_shapes is shapes  # left as it was found
    metadata = sae.cfg.metadata
    assert sae.cfg.architecture() == "jumprelu"
    assert (sae.cfg.d_in, sae.cfg.d_sae) == (WIDTH, 2 * WIDTH)
    assert metadata.hook_name == "blocks.12.hook_resid_post"
    assert metadata.model_name == MODEL
    assert metadata.neuronpedia_id == "gemma-3-270m-it/12-gemmascope-2-res-16k"
    torch.testing.assert_close(sae.W_enc[:, :WIDTH].detach(), torch.eye(WIDTH))


@pytest.mark.usefixtures("cached")
def test_gemma_3_is_read_with_gemma_scope_2(folders):
    model = load_model(MODEL, dtype="float32", device="cpu")
    sae = load_sae(NAME, device="cpu")
    assert check_sae(model, sae).fvu < 1e-6
    read = read_features(model, sae, [PROMPT])
    assert {firing.text.strip() for firing in read.firings()} >= {"the"}
    assert all(0 <= firing.feature < 2 * WIDTH for firing in read.firings())


@pytest.mark.usefixtures("cached")
def test_what_a_mirror_lacks_is_named_with_the_way_to_mend_it():
    other = f"{RELEASE}/layer_9_width_16k_l0_medium"
    message = refusal(load_sae, other)
    assert message.startswith(f"Could not download the SAE '{other}': it is not in the")
    assert message.endswith("give a local SAE folder (docs/how-to/offline.md).")
    assert "Did you mean" in refusal(load_sae, f"{RELEASE}/layer_12_width_16k_l0_medum")


def test_a_folder_in_a_releases_own_format_is_refused_with_what_to_give_instead(folders):
    message = refusal(load_sae, folders[REPOSITORY] / "resid_post" / SAE_ID)
    assert message.endswith(
        "it is in a release's own format: give its name, release/sae_id, instead."
    )


@pytest.mark.slow  # three processes
def test_the_command_downloads_both_from_a_hub_once_and_reads_the_same_without_it(
    folders, tmp_path
):
    def read(**variables):
        command = ["read", PROMPT, "--model", MODEL, "--sae", NAME, "--json"]
        environment = {**os.environ, "HF_HOME": str(tmp_path), **variables}
        return subprocess.run(
            [sys.executable, "-m", "saetask", *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    with serve(folders) as (endpoint, requests):
        online = SimpleNamespace(HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="0")
        first = read(**vars(online))
        assert first.returncode == 0, first.stderr
        weights = [line for line in requests if "GET" in line and line.endswith(".safetensors")]
        assert len(weights) == len(set(weights)) == 2  # of the model and of the SAE, once each
        assert json.loads(first.stdout)["features"]
    # The server is gone: it is asked once, then the cache is taken; or nothing is asked at all.
    for again in (read(**vars(online)), read(HF_HUB_OFFLINE="1")):
        assert again.returncode == 0, again.stderr
        assert again.stdout == first.stdout
        assert "Retrying" not in again.stderr
