"""GGUF files compute what the model computes that they were written from, or are refused."""

import copy

import pytest
import torch

from saetask import UserError, load_model
from saetask.data.prompts import as_prompt
from saetask.data.rendering import render
from saetask.inference.client import ModelClient, RankRequest
from saetask.models.loading import model_name
from tests.helpers.gguf_writer import write_gguf
from tests.helpers.tiny_models import FAMILIES, WINDOW, build

FAST = ("gemma3_text", "gpt2")
READ = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3_text",
    "gpt2",
    "phi3",
    "bloom",
    "falcon",
    "stablelm",
    "starcoder2",
    "nemotron",
)
"""Families of the tests' models whose GGUF files transformers reads."""
NOT_READ = ("gemma", "gpt_neox", "gptj", "phi", "olmo", "olmo2", "granite")
TEXT = "The bank of the river was steep, and Anna 🦔 walked to the house on the hill at noon."


def marked(families):
    return [pytest.param(f, marks=[pytest.mark.slow] * (f not in FAST)) for f in families]


def logits_of_text(model, tokenizer):
    tokens = torch.tensor([render(tokenizer, TEXT).token_ids])
    assert tokens.shape[1] > WINDOW
    with torch.inference_mode():
        output = model(tokens)
    return getattr(output, "logits", output)


def assert_same_logits(path, hf_model, tokenizer):
    expected = logits_of_text(hf_model, tokenizer)
    loaded = load_model(path, dtype=torch.float32, device="cpu")
    found = logits_of_text(loaded, loaded.tokenizer)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    return loaded


@pytest.mark.parametrize("family", marked(READ))
def test_a_gguf_file_computes_what_its_model_does(family, tiny_tokenizer, tmp_path):
    hf_model = build(family, tiny_tokenizer)
    path = write_gguf(hf_model, tiny_tokenizer, tmp_path / "tiny.gguf")
    loaded = assert_same_logits(path, hf_model, tiny_tokenizer)
    assert model_name(loaded) == "tiny.gguf"
    assert type(loaded.original_model) is type(hf_model)
    assert loaded.original_model.config.model_type == hf_model.config.model_type
    assert loaded.tokenizer.chat_template == tiny_tokenizer.chat_template
    (answer,) = ModelClient(loaded).rank([RankRequest(as_prompt(TEXT), (" steep", " a river"))])
    assert all(value < 0 for value in answer.log_likelihoods)


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_what_else_a_family_may_have_is_read_from_the_file(family, tiny_tokenizer, tmp_path):
    options = {"llama": {"attention_bias": True, "head_dim": 16}, "mistral": {"sliding_window": 5}}
    hf_model = build(family, tiny_tokenizer, **options[family])
    path = write_gguf(hf_model, tiny_tokenizer, tmp_path / "tiny.gguf")
    assert_same_logits(path, hf_model, tiny_tokenizer)


@pytest.mark.parametrize(
    ("rope", "metadata"),
    [
        (
            {"rope_type": "linear", "factor": 4.0},
            {"rope__scaling__type": "linear", "rope__scaling__factor": 4.0},
        ),
        (
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
            {
                "rope__scaling__type": "yarn",
                "rope__scaling__factor": 4.0,
                "rope__scaling__original_context_length": 32,
            },
        ),
    ],
)
def test_scaled_positions_are_read(rope, metadata, tiny_tokenizer, tmp_path):
    rope = {"rope_theta": 10_000.0, **rope}
    hf_model = build("llama", tiny_tokenizer, rope_parameters=rope)
    path = write_gguf(hf_model, tiny_tokenizer, tmp_path / "tiny.gguf", **metadata)
    assert_same_logits(path, hf_model, tiny_tokenizer)


def test_frequency_factors_as_of_llama_3_are_applied(tiny_tokenizer, tmp_path):
    rope = {
        "rope_theta": 10_000.0,
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    hf_model = build("llama", tiny_tokenizer, rope_parameters=rope)
    plain = build("llama", tiny_tokenizer)
    frequencies = [model.model.rotary_emb.inv_freq for model in (plain, hf_model)]
    factors = {"rope_freqs.weight": frequencies[0] / frequencies[1]}
    assert factors["rope_freqs.weight"].max() == pytest.approx(8)
    path = write_gguf(hf_model, tiny_tokenizer, tmp_path / "tiny.gguf", factors)
    assert_same_logits(path, hf_model, tiny_tokenizer)


@pytest.mark.parametrize("family", [pytest.param("gemma"), *marked(NOT_READ[1:])])
def test_an_architecture_that_transformers_does_not_read_is_refused_in_one_line(
    family, tiny_tokenizer, tmp_path
):
    path = write_gguf(build(family, tiny_tokenizer), tiny_tokenizer, tmp_path / "tiny.gguf")
    with pytest.raises(UserError, match="reads no GGUF files of architecture '") as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250 + len(str(path))


@pytest.mark.parametrize(
    ("family", "tensors", "metadata", "message"),
    [
        ("phi3", {"rope_factors_long.weight": torch.ones(4)}, {}, "long-context position factors"),
        ("llama", {}, {"rope__scaling__type": "longrope"}, "position scaling 'longrope'"),
        ("falcon", {}, {"attention__head_count_kv": 2}, "one key-value head only"),
    ],
)
def test_what_transformers_would_leave_out_is_refused(
    family, tensors, metadata, message, tiny_tokenizer, tmp_path, monkeypatch
):
    hf_model = build(family, tiny_tokenizer)
    if "attention__head_count_kv" in metadata:
        monkeypatch.setattr("gguf.GGUFWriter.add_head_count_kv", lambda *_: None)
    path = write_gguf(hf_model, tiny_tokenizer, tmp_path / "tiny.gguf", tensors, **metadata)
    with pytest.raises(UserError, match=message):
        load_model(path)


def test_a_file_without_a_layers_weights_is_refused_by_their_name(tiny_tokenizer, tmp_path):
    hf_model = copy.deepcopy(build("llama", tiny_tokenizer))
    del hf_model.model.layers[1].mlp.down_proj
    path = write_gguf(hf_model, tiny_tokenizer, tmp_path / "tiny.gguf")
    with pytest.raises(UserError, match=r"lacks the weights model\.layers\.1\.mlp\.down_proj"):
        load_model(path)


def test_every_family_of_the_tests_is_accounted_for():
    unknown_to_llama_cpp_here = {"gpt_neo", "opt", "cohere", "gpt_oss"}
    assert {*READ, *NOT_READ, *unknown_to_llama_cpp_here} == set(FAMILIES)
