"""Ranking, reading and generating beyond the windows of a model's attention.

Each is compared with transformers' own model, one sequence at a time.
"""

import copy

import pytest
import torch
import transformers
from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge

from saetask.inference.likelihood import (
    Continuation,
    continues_trees,
    log_likelihoods,
    longest_tree,
    supports_token_trees,
)
from saetask.models.attention_masks import attention_spans
from saetask.models.forward import row_logits, tree_logits
from saetask.models.generation import generate_texts
from saetask.models.hooks import capture, read_hook

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "head_dim": 8,
}
PLAIN = {name: value for name, value in SIZES.items() if name != "head_dim"}
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
GPT_NEO = {
    "hidden_size": 32,
    "num_layers": 2,
    "num_heads": 4,
    "max_position_embeddings": 512,
    "attention_types": [[["global", "local"], 1]],
    "window_size": 16,
    "initializer_range": 0.2,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "original_max_position_embeddings": 64,
}
MODELS = {
    "gemma2": {**SIZES, "query_pre_attn_scalar": 8, "sliding_window": 24},
    "gemma3_text": {
        **SIZES,
        "query_pre_attn_scalar": 8,
        "sliding_window": 24,
        "layer_types": MIXED,
    },
    "mistral": {**SIZES, "sliding_window": 16},
    "phi3": {**PLAIN, "sliding_window": 32},
    "qwen2": {**PLAIN, "sliding_window": 16, "use_sliding_window": True, "max_window_layers": 1},
    "gpt_oss": {**SIZES, "sliding_window": 16, "num_local_experts": 2, "num_experts_per_tok": 1},
    "gpt_neo": GPT_NEO,
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.2},
    "falcon": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "alibi": False,
        "initializer_range": 0.2,
    },
    "llama": {**SIZES, "rope_parameters": LONGROPE},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512, "initializer_range": 0.2},
}
IN_TREES = {"gemma2", "gemma3_text", "mistral", "phi3", "qwen2", "gpt_oss", "llama", "gpt2"}
IN_TREES |= {"falcon"}
"""Models that are run in trees; the others are scored by rows."""


def make_hf_model(name, tiny_tokenizer, **changes):
    config = transformers.AutoConfig.for_model(
        name, **{**MODELS[name], **changes}, vocab_size=len(tiny_tokenizer), pad_token_id=0
    )
    config.bos_token_id = config.eos_token_id = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hf_model = transformers.AutoModelForCausalLM.from_config(config).eval()
    hf_model.config.architectures = [type(hf_model).__name__]
    return hf_model


def make_bridge(hf_model, tiny_tokenizer):
    bridge = SAETransformerBridge.boot_transformers(
        hf_model.config.model_type,
        hf_model=copy.deepcopy(hf_model),
        tokenizer=copy.deepcopy(tiny_tokenizer),
        device="cpu",
    )
    bridge.eval()
    return bridge


@pytest.fixture(scope="module", params=MODELS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def hf_model(name, tiny_tokenizer):
    return make_hf_model(name, tiny_tokenizer)


@pytest.fixture(scope="module")
def bridge(hf_model, tiny_tokenizer):
    return make_bridge(hf_model, tiny_tokenizer)


def made_up_ids(length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 2000, (length,), generator=generator).tolist()


def long_continuations():
    """Prompts far beyond the windows and within them, with several candidates each."""
    long = made_up_ids(138)
    prompts = [long, long[:90], [*long[:90], *made_up_ids(40, 1)], made_up_ids(7, 2)]
    answers = [made_up_ids(n, 10 + n) for n in (1, 6, 3)]
    return [Continuation(prompt, answer) for prompt in prompts for answer in answers]


def expected_likelihood(hf_model, continuation):
    prompt, answer = continuation
    with torch.inference_mode():
        logits = hf_model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
    return logits.float().log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum().item()


def test_ranking_beyond_the_window_equals_one_candidate_at_a_time(name, hf_model, bridge):
    asked = long_continuations()
    expected = [expected_likelihood(hf_model, continuation) for continuation in asked]
    assert supports_token_trees(bridge) == continues_trees(bridge) == (name in IN_TREES)
    assert log_likelihoods(bridge, asked, tokens_per_row=400) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("tokens_per_row", [1, 10, 150])
def test_rows_behind_kept_tokens_equal_one_candidate_at_a_time(hf_model, bridge, tokens_per_row):
    asked = long_continuations()
    expected = [expected_likelihood(hf_model, continuation) for continuation in asked]
    found = log_likelihoods(bridge, asked, tokens_per_row)
    assert found == pytest.approx(expected, abs=2e-3)


def test_a_reading_beyond_the_window_is_that_of_transformers(hf_model, bridge):
    rows = [made_up_ids(138), made_up_ids(121, 1)]
    tokens = torch.tensor([rows[0], [*rows[1], *[0] * 17]])
    found = read_hook(bridge, tokens, "blocks.0.hook_out")
    for row, activations in zip(rows, found):
        with torch.inference_mode():
            states = hf_model(torch.tensor([row]), output_hidden_states=True).hidden_states[1][0]
        torch.testing.assert_close(activations[: len(row)], states, atol=2e-4, rtol=2e-3)


def test_ranking_under_a_hook_sees_the_same_window(hf_model, bridge):
    asked = long_continuations()[:3]
    with capture(bridge, "blocks.1.hook_in"):
        found = log_likelihoods(bridge, asked)
    expected = [expected_likelihood(hf_model, continuation) for continuation in asked]
    assert found == pytest.approx(expected, abs=2e-3)


def greedy(hf_model, prompt, n):
    row = list(prompt)
    for _ in range(n):
        with torch.inference_mode():
            row.append(int(hf_model(torch.tensor([row])).logits[0, -1].argmax()))
    return row[len(prompt) :]


def test_texts_beyond_the_window_are_those_of_an_argmax_loop(hf_model, bridge):
    prompts = [made_up_ids(n, n) for n in (60, 9, 40)]
    expected = [bridge.tokenizer.decode(greedy(hf_model, p, 6), True) for p in prompts]
    assert generate_texts(bridge, prompts, 6) == expected


@pytest.mark.parametrize("name", ["gemma2", "mistral"], indirect=True)
def test_in_bfloat16_trees_agree_within_its_rounding(name, tiny_tokenizer):
    hf_model = make_hf_model(name, tiny_tokenizer, initializer_range=0.05).to(torch.bfloat16)
    bridge = make_bridge(hf_model, tiny_tokenizer).to(torch.bfloat16)
    asked = long_continuations()
    expected = [expected_likelihood(hf_model, continuation) for continuation in asked]
    assert continues_trees(bridge)
    for tokens_per_row in (10, 512):
        found = log_likelihoods(bridge, asked, tokens_per_row)
        assert found == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize("name", ["mistral"], indirect=True)
def test_trees_stop_at_a_window_that_is_too_long_to_check(name, hf_model, bridge, monkeypatch):
    monkeypatch.setattr("saetask.inference.likelihood.LONGEST_CHECKED_SPAN", 10)
    assert longest_tree(bridge) == MODELS[name]["sliding_window"]
    asked = long_continuations()
    expected = [expected_likelihood(hf_model, continuation) for continuation in asked]
    assert log_likelihoods(bridge, asked) == pytest.approx(expected, abs=2e-3)


def test_spans_are_found_under_any_name(tiny_tokenizer):
    config = {name: make_hf_model(name, tiny_tokenizer).config for name in ("gpt_neo", "llama")}
    assert not attention_spans(config["gpt_neo"], 512).known
    assert attention_spans(config["llama"], 512) == ([], 64, True)
    assert attention_spans(config["llama"], 50).limit == 50
    chunked = transformers.Llama4TextConfig(attention_chunk_size=32)
    assert attention_spans(chunked, 512).masked == [32]


def test_chunks_are_blocks_of_positions():
    from saetask.models.attention_masks import tree_masks

    config = transformers.Llama4TextConfig(
        num_hidden_layers=2, attention_chunk_size=4, no_rope_layers=[1, 0]
    )
    positions, visible = torch.arange(9), torch.ones(9, 9, dtype=torch.bool).tril()
    masks = tree_masks(config, positions, visible, torch.float32)
    assert isinstance(masks, dict)
    seen = masks["chunked_attention"][0, 0] == 0
    assert seen[6].tolist() == [False] * 4 + [True] * 3 + [False] * 2
    assert (masks["full_attention"][0, 0] == 0).equal(visible)


def test_logits_are_computed_in_float32_whatever_the_model(tiny_tokenizer):
    hf_model = make_hf_model("gemma2", tiny_tokenizer).to(torch.bfloat16)
    bridge = make_bridge(hf_model, tiny_tokenizer).to(torch.bfloat16)
    logits = row_logits(bridge, torch.tensor(made_up_ids(9)))
    chain = torch.ones(9, 9, dtype=torch.bool).tril()
    in_tree = tree_logits(
        bridge, torch.tensor(made_up_ids(9)), torch.arange(9), chain, torch.tensor([7, 8])
    )
    with torch.inference_mode():
        rounded = hf_model(torch.tensor([made_up_ids(9)])).logits[0]
    for found in (logits[7:], in_tree):
        assert found.dtype == torch.float32
        assert (found != found.bfloat16().float()).float().mean() > 0.9
        torch.testing.assert_close(found, rounded[7:].float(), atol=0.2, rtol=0.02)


@pytest.mark.parametrize("largest", [0, 2**30], ids=["converted each time", "kept in float32"])
def test_float32_logits_follow_a_changed_unembedding(tiny_tokenizer, monkeypatch, largest):
    monkeypatch.setattr("saetask.models.forward.LARGEST_COPY", largest)
    hf_model = make_hf_model("llama", tiny_tokenizer).to(torch.bfloat16)
    bridge = make_bridge(hf_model, tiny_tokenizer).to(torch.bfloat16)
    ids = torch.tensor(made_up_ids(9))
    before = row_logits(bridge, ids)
    head = bridge.original_model.get_output_embeddings()
    with torch.no_grad():
        getattr(head, "original_component", head).weight.mul_(2)
    torch.testing.assert_close(row_logits(bridge, ids), 2 * before)
