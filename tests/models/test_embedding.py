"""What the final norm does to a direction, whoever folded or renamed its weights."""

import copy

import pytest
import torch

from saetask.models.embedding import final_norm, unembed
from saetask.models.loading import bridge_of
from tests.helpers.tiny_models import build


@pytest.fixture
def bridge(tiny_tokenizer):
    """Wraps a model of transformers as `load_model` does."""

    def wrap(hf_model):
        return bridge_of(hf_model, copy.deepcopy(tiny_tokenizer), "tiny", hf_model.dtype, "cpu")

    return wrap


@pytest.fixture
def directions():
    return torch.randn(4, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("family", "centres"), [("llama", False), ("gemma", False), ("olmo", True)]
)
def test_the_gain_is_the_norms_own(bridge, tiny_tokenizer, family, centres, directions):
    hf_model = build(family, tiny_tokenizer)
    norm = copy.deepcopy(hf_model.model.norm)
    found = final_norm(bridge(hf_model))
    assert found.centres == centres
    weight = getattr(norm, "weight", torch.ones(32)) + (1 if family == "gemma" else 0)
    torch.testing.assert_close(found.gain, weight.detach(), atol=1e-4, rtol=1e-4)


def test_a_bfloat16_model_gives_its_gain_in_full(bridge, tiny_tokenizer):
    hf_model = build("gemma", tiny_tokenizer).to(torch.bfloat16)
    weight = hf_model.model.norm.weight.detach().float()
    gain = final_norm(bridge(hf_model)).gain
    torch.testing.assert_close(gain, 1 + weight, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_weights_that_transformer_lens_has_folded_give_the_same_order(
    bridge, tiny_tokenizer, family, directions
):
    model = bridge(build(family, tiny_tokenizer))
    expected = unembed(model, directions)
    model.enable_compatibility_mode(disable_warnings=True)
    found = unembed(model, directions)
    # The unembedding may be centred, too: the same number is taken from all tokens.
    difference = found - expected
    torch.testing.assert_close(
        difference, difference.mean(-1, keepdim=True).expand_as(expected), atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize("folded", [False, True])
def test_a_hooked_transformer_is_measured_too(hooked_transformer, folded, directions):
    model = copy.deepcopy(hooked_transformer)
    with torch.no_grad():
        model.ln_final.w.normal_(1, 0.3)
        model.ln_final.b.normal_(0, 0.3)
    centred = directions - directions.mean(-1, keepdim=True)
    expected = centred * model.ln_final.w @ model.W_U
    if folded:
        model.process_weights_(center_unembed=False)
        assert not hasattr(model.ln_final, "w")
    torch.testing.assert_close(unembed(model, directions), expected, atol=1e-4, rtol=1e-3)


def test_an_odd_width_is_measured_like_an_even_one(bridge, tiny_tokenizer):
    hf_model = build(
        "llama",
        tiny_tokenizer,
        hidden_size=33,
        num_attention_heads=3,
        num_key_value_heads=3,
        head_dim=8,
    )
    weight = hf_model.model.norm.weight.detach().clone()
    found = final_norm(bridge(hf_model))
    torch.testing.assert_close(found.gain, weight, atol=1e-4, rtol=1e-4)
    assert not found.centres


def test_a_model_without_a_final_norm_changes_no_direction(hooked_transformer, directions):
    model = copy.deepcopy(hooked_transformer)
    model.ln_final = torch.nn.Identity()
    found = final_norm(model)
    assert not found.centres and torch.equal(found(directions), directions)
