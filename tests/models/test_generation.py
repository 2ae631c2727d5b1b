"""Generated tokens are those of an argmax loop, whatever a checkpoint's generation config says."""

import copy

import pytest
import torch
import transformers
from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge

from saetask.models.generation import end_tokens, generate_texts
from tests.helpers.refusals import refusal

LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "initializer_range": 0.2}
MODELS = {"llama": LLAMA, "gpt2": GPT2, "gemma2": {**LLAMA, "head_dim": 8, "sliding_window": 8}}
HOSTILE = [
    {"repetition_penalty": 1.8},
    {"num_beams": 4, "num_return_sequences": 3, "length_penalty": 2.0, "early_stopping": True},
    {"no_repeat_ngram_size": 1},
    {"min_length": 100, "min_new_tokens": 20},
    {"do_sample": True, "temperature": 5.0, "top_k": 50, "top_p": 0.9},
    {"temperature": 0.6, "top_p": 0.9},
    {"max_length": 3, "forced_eos_token_id": 7},
    {"forced_bos_token_id": 9, "begin_suppress_tokens": list(range(1000))},
    {"suppress_tokens": list(range(1000)), "bad_words_ids": [[1001]]},
    {"sequence_bias": [[[5], 100.0]], "exponential_decay_length_penalty": (1, 2.0)},
    {"guidance_scale": 3.0},
    {"output_scores": True, "return_dict_in_generate": True, "use_cache": False},
    {"cache_implementation": "static"},
    {"prompt_lookup_num_tokens": 3},
    {"penalty_alpha": 0.6, "top_k": 4},
    {"stop_strings": ["e"]},
    {"renormalize_logits": True, "remove_invalid_values": True, "token_healing": True},
]
PROMPTS = [[5, 9, 400, 33, 801, 77, 9], [11, 12], [700, 9, 9, 9, 1030]]


@pytest.fixture(scope="module", params=MODELS)
def bridge(request, tiny_tokenizer):
    config = transformers.AutoConfig.for_model(
        request.param, **MODELS[request.param], vocab_size=len(tiny_tokenizer)
    )
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hf_model = transformers.AutoModelForCausalLM.from_config(config).eval()
    bridge = SAETransformerBridge.boot_transformers(
        request.param, hf_model=hf_model, tokenizer=copy.deepcopy(tiny_tokenizer), device="cpu"
    )
    bridge.eval()
    bridge.tokenizer.decode = lambda row, skip_special_tokens: str(list(row))
    return bridge


@pytest.fixture(params=[32, 3], autouse=True)
def step(request, monkeypatch):
    """Rows leave the batch after texts of these tests have ended, and in the midst of them."""
    monkeypatch.setattr("saetask.models.generation.STEP", request.param)


@pytest.fixture
def set_checkpoint(bridge, monkeypatch):
    def set_to(**values):
        config = transformers.GenerationConfig()
        for name, value in values.items():
            setattr(config, name, value)
        monkeypatch.setattr(bridge.original_model, "generation_config", config)

    return set_to


def argmax_loop(model, prompt, n, ends=()):
    row = list(prompt)
    while len(row) < len(prompt) + n:
        with torch.inference_mode():
            row.append(int(model(torch.tensor([row]), return_type="logits")[0, -1].argmax()))
        if row[-1] in ends:
            return row[len(prompt) : -1]
    return row[len(prompt) :]


@pytest.mark.parametrize("values", HOSTILE, ids=lambda values: next(iter(values)))
def test_no_setting_of_a_checkpoint_changes_the_texts(bridge, set_checkpoint, values):
    set_checkpoint(**values)
    before = bridge.original_model.generation_config
    expected = [str(argmax_loop(bridge, prompt, 8)) for prompt in PROMPTS]
    assert generate_texts(bridge, PROMPTS, 8) == expected
    assert bridge.original_model.generation_config is before


def test_every_end_token_of_a_checkpoint_ends_a_text_and_leaves_no_padding(bridge, set_checkpoint):
    free = [argmax_loop(bridge, prompt, 8) for prompt in PROMPTS]
    ends = [free[0][2], free[1][4]]
    expected = [str(argmax_loop(bridge, prompt, 8, ends)) for prompt in PROMPTS]
    set_checkpoint(eos_token_id=ends, repetition_penalty=2.0)
    assert generate_texts(bridge, PROMPTS, 8) == expected
    assert len(expected[0]) < len(str(free[0]))
    set_checkpoint(eos_token_id=ends[0])
    assert end_tokens(bridge) == ends[:1]


def test_tokens_without_an_embedding_neither_pad_nor_end_a_text(bridge, set_checkpoint):
    set_checkpoint(eos_token_id=[5000, 5001], pad_token_id=5000)
    expected = [str(argmax_loop(bridge, prompt, 4)) for prompt in PROMPTS]
    assert generate_texts(bridge, PROMPTS, 4) == expected
    assert end_tokens(bridge) == []


@pytest.mark.parametrize("ends", ["</s>", [[2]], [2, "</s>"], 2.5, True, {"a": 1}])
def test_end_tokens_that_are_no_numbers_are_refused_in_one_line(bridge, set_checkpoint, ends):
    set_checkpoint(eos_token_id=ends)
    message = refusal(generate_texts, bridge, PROMPTS, 2)
    assert "eos_token_id in generation_config.json" in message
