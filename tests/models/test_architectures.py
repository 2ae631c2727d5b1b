"""Reading, ranking and checking on tiny random models of the usual architectures, as they come.

None has a chat template: base models are read and asked like any other.
"""

import copy

import pytest
import torch
import transformers
from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge

from saetask.data.prompts import as_prompt, render
from saetask.errors import UserError
from saetask.inference.likelihood import Continuation, log_likelihoods
from saetask.models.hooks import read_hook
from saetask.saes.compatibility import check_sae
from saetask.saes.extraction import read_features

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
CONFIGS = {
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 256, "initializer_range": 0.2},
    "llama": SIZES,
    "qwen2": SIZES,
    "qwen3": {**SIZES, "head_dim": 8},
    "gemma": {**SIZES, "head_dim": 8},
    "gemma2": {**SIZES, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 16},
    "gpt_neox": {name: value for name, value in SIZES.items() if name != "num_key_value_heads"},
}
HOOK_KINDS = (
    "hook_resid_pre",
    "hook_resid_post",
    "hook_attn_out",
    "hook_mlp_out",
    "attn.hook_z",
    "mlp.hook_post",
)
TEXT = "The bank of the river was steep."


@pytest.fixture(scope="module", params=CONFIGS)
def hf_model(request, tiny_tokenizer):
    config = transformers.AutoConfig.for_model(
        request.param,
        **CONFIGS[request.param],
        vocab_size=len(tiny_tokenizer),
        bos_token_id=tiny_tokenizer.bos_token_id,
        eos_token_id=tiny_tokenizer.eos_token_id,
        pad_token_id=tiny_tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(config).eval()


@pytest.fixture(scope="module")
def any_model(hf_model, tiny_tokenizer):
    bridge = SAETransformerBridge.boot_transformers(
        hf_model.config.model_type,
        hf_model=copy.deepcopy(hf_model),
        tokenizer=copy.deepcopy(tiny_tokenizer),
        device="cpu",
    )
    bridge.tokenizer.chat_template = None
    bridge.eval()
    return bridge


def test_a_reading_is_what_the_hf_models_hidden_states_encode_to(
    any_model, hf_model, make_tiny_sae
):
    sae = make_tiny_sae(hook_name="blocks.1.hook_resid_post")
    reading = read_features(any_model, sae, [TEXT, as_prompt("Anna went."), "Two texts at once."])
    for number, prompt in enumerate(reading.prompts):
        assert prompt.token_ids[0] == any_model.tokenizer.bos_token_id
        with torch.inference_mode():
            tokens = torch.tensor([prompt.token_ids])
            states = hf_model(tokens, output_hidden_states=True).hidden_states[2][0]
            expected = sae.encode(states)
        found = torch.zeros_like(expected)
        for firing in reading[number].firings():
            found[firing.token, firing.feature] = firing.value
        torch.testing.assert_close(found[1:], expected[1:], atol=1e-4, rtol=1e-4)
        assert not found[0].any(), "BOS is not read"


@pytest.mark.parametrize("kind", HOOK_KINDS)
def test_hook_points_go_by_their_old_names(any_model, kind):
    tokens = torch.tensor([[1, 504, 817, 282]])
    first, second = (read_hook(any_model, tokens, f"blocks.{n}.{kind}") for n in (1, 2))
    assert first.shape[:2] == (1, 4) and first.shape[2] % 32 == 0
    assert first.isfinite().all()
    assert not torch.allclose(first, second)


def test_ranking_equals_the_hf_models_likelihoods_one_by_one(any_model, hf_model):
    prompts = [render(any_model.tokenizer, text).token_ids for text in (TEXT, "The bank")]
    answers = [any_model.tokenizer(text)["input_ids"] for text in (" steep", " of a river", " no")]
    continuations = [Continuation(prompt, answer) for prompt in prompts for answer in answers]
    expected = []
    for prompt, answer in continuations:
        with torch.inference_mode():
            logits = hf_model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
        chosen = logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None])
        expected.append(chosen.sum().item())
    assert log_likelihoods(any_model, continuations) == pytest.approx(expected, abs=1e-3)


def test_an_sae_passes_at_its_own_layer_and_no_other(any_model, make_memorising_sae):
    sae = make_memorising_sae(any_model, "blocks.1.hook_resid_post")
    figures = check_sae(any_model, sae)
    assert figures == pytest.approx((0, 1, 1), abs=0.03)
    sae.cfg.metadata.hook_name = "blocks.2.hook_resid_post"
    with pytest.raises(UserError, match=r"at layer 1 \(blocks\.1\.hook_resid_post\)"):
        check_sae(any_model, sae)


def test_a_tokenizer_without_bos_is_read_without(any_model, make_memorising_sae, monkeypatch):
    sae = make_memorising_sae(any_model, "blocks.1.hook_resid_post", bos=False)
    sae.cfg.metadata.prepend_bos = True
    monkeypatch.setattr(any_model, "tokenizer", copy.deepcopy(any_model.tokenizer))
    any_model.tokenizer.bos_token = None  # after it is set: the bridge gives a new one a BOS
    assert check_sae(any_model, sae).fvu < 1e-3
    assert next(read_features(any_model, sae, [TEXT]).firings()).token == 0
