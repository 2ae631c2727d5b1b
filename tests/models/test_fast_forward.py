"""Wrappers come off only where nobody can tell, and always go back on."""

import copy
import gc
import weakref

import pytest
import torch
import transformers

from saetask.models import fast_forward
from saetask.models.fast_forward import bypass_bridge, check_bypass
from saetask.models.forward import row_logits
from saetask.models.generation import generate_texts
from saetask.models.hooks import (
    capture,
    log_probabilities_with_edit,
    read_hook,
    run_with_hook_outputs,
    with_hooks,
)

TOKENS = torch.tensor([[1, 504, 817, 282, 260, 1491]])
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 2000}
MLP = {"intermediate_size": 64}
PAD = {"pad_token_id": 0}
ARCHITECTURES = {
    "Llama": {**SMALL, **MLP, "num_key_value_heads": 2},
    "Qwen2": {**SMALL, **MLP, "num_key_value_heads": 2},
    "Qwen3": {**SMALL, **MLP, "num_key_value_heads": 2, "head_dim": 8},
    "Gemma2": {**SMALL, **MLP, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 3},
    "Mistral": {**SMALL, **MLP, "num_key_value_heads": 2, "sliding_window": 3},
    "Phi": {**SMALL, **MLP, **PAD},
    "GPTNeoX": {**SMALL, **MLP},
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 2000},
    "OPT": {**SMALL, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "Bloom": {**SMALL, "n_layer": 2, "n_head": 4},
}


def wrappers(model):
    """Counts the wrappers that the model of transformers goes through."""
    found, heads = 0, [model.original_model]
    while heads:
        for module in heads.pop()._modules.values():
            original = getattr(module, "original_component", None)
            found += original is not None
            heads += [] if module is None else [original or module]
    return found


@pytest.fixture
def bridge(tiny_model):
    n_before = wrappers(tiny_model)
    yield tiny_model
    tiny_model.reset_hooks(including_permanent=True)
    assert wrappers(tiny_model) == n_before, "all are put back"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_without_wrappers_a_model_computes_what_it_does_with_them(name, make_tiny_bridge):
    config = getattr(transformers, f"{name}Config")(**ARCHITECTURES[name])
    kind = f"{name}ForCausalLM" if name != "GPT2" else "GPT2LMHeadModel"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hf_model = getattr(transformers, kind)(config).eval()
    with torch.inference_mode():
        expected = hf_model(TOKENS).logits
    bridge = make_tiny_bridge(hf_model)
    n_before = wrappers(bridge)
    check_bypass(bridge)
    with torch.inference_mode(), bypass_bridge(bridge):
        assert wrappers(bridge) == 0
        torch.testing.assert_close(bridge(TOKENS, return_type="logits"), expected)
    assert wrappers(bridge) == n_before
    torch.testing.assert_close(row_logits(bridge, TOKENS[0]), expected[0])
    wrapped = bridge.run_with_cache(TOKENS)[1]["blocks.1.hook_in"]
    torch.testing.assert_close(read_hook(bridge, TOKENS, "blocks.1.hook_in"), wrapped)


@pytest.mark.parametrize(
    "name",
    [
        "blocks.2.hook_in",
        "blocks.2.hook_out",
        "blocks.2.ln1.hook_normalized",
        "blocks.2.attn.hook_out",
        "blocks.2.attn.q.hook_out",
        "blocks.2.attn.hook_pattern",
        "blocks.2.mlp.hook_in",
        "blocks.2.mlp.gate.hook_out",
        "blocks.2.ln2.hook_in",
        "embed.hook_out",
        "ln_final.hook_scale",
        "unembed.hook_out",
    ],
)
def test_a_hook_point_gives_the_same_as_in_a_run_with_every_wrapper(bridge, name):
    _, cache = bridge.run_with_cache(TOKENS)
    torch.testing.assert_close(read_hook(bridge, TOKENS, name), cache[name].flatten(2))


def test_only_the_part_with_a_hook_keeps_its_wrappers(bridge):
    n_all = wrappers(bridge)
    with with_hooks(bridge, [("blocks.2.hook_out", lambda a, hook: None)]):
        assert wrappers(bridge) == 1, "the block's own"
    with with_hooks(bridge, [("blocks.2.attn.q.hook_out", lambda a, hook: None)]):
        assert 1 < wrappers(bridge) < n_all / 4, "attention, and what is inside it"


def test_a_hook_point_that_another_parts_wrapper_runs_keeps_that_wrapper(bridge):
    bridge.set_use_hook_mlp_in(True)
    try:
        _, cache = bridge.run_with_cache(TOKENS)
        found = read_hook(bridge, TOKENS, "blocks.1.hook_mlp_in")
    finally:
        bridge.set_use_hook_mlp_in(False)
    torch.testing.assert_close(found, cache["blocks.1.hook_mlp_in"])


@pytest.mark.parametrize("name", ["blocks.1.hook_out", "blocks.1.attn.v.hook_out"])
def test_hooks_of_the_users_own_still_run(bridge, name):
    before = read_hook(bridge, TOKENS, "blocks.2.hook_out")
    bridge.add_hook(name, lambda activation, hook: activation * 0)
    edited = read_hook(bridge, TOKENS, "blocks.2.hook_out")
    logits = row_logits(bridge, TOKENS[0])
    expected = bridge.run_with_cache(TOKENS)
    torch.testing.assert_close(edited, expected[1]["blocks.2.hook_out"])
    torch.testing.assert_close(logits, expected[0][0])
    assert not torch.allclose(edited, before, atol=1e-3)


def test_torchs_hooks_on_a_wrapper_still_run(bridge):
    seen = []
    handle = bridge.blocks[1].attn.register_forward_pre_hook(lambda *_: seen.append(1))
    read_hook(bridge, TOKENS, "blocks.2.hook_out")
    handle.remove()
    assert seen == [1]


def test_an_sae_of_sae_lens_that_is_attached_still_runs(bridge, make_tiny_sae):
    sae = make_tiny_sae(hook_name="blocks.1.hook_mlp_out")
    read_hook(bridge, TOKENS, "blocks.2.hook_out")
    with torch.no_grad():
        sae.W_dec.mul_(0)
    bridge.add_sae(sae)
    found = read_hook(bridge, TOKENS, "blocks.2.hook_out")
    expected = bridge.run_with_cache(TOKENS)[1]["blocks.2.hook_out"]
    bridge.reset_saes()
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, read_hook(bridge, TOKENS, "blocks.2.hook_out"), atol=1e-3)
    # The hook point is another object now.
    with capture(bridge, "blocks.1.hook_mlp_out") as caught:
        row_logits(bridge, TOKENS[0])
    assert len(caught) == 1


def test_generating_goes_without_wrappers_and_says_the_same(bridge):
    with_hooks = [1, 504, 817]
    expected = generate_texts(bridge, [with_hooks], 4)
    bridge.add_hook("blocks.1.attn.hook_out", lambda activation, hook: activation)
    assert generate_texts(bridge, [with_hooks], 4) == expected


def test_wrappers_are_put_back_after_an_error(bridge):
    n_before = wrappers(bridge)
    with pytest.raises(ZeroDivisionError), bypass_bridge(bridge):
        assert wrappers(bridge) == 0
        raise ZeroDivisionError
    assert wrappers(bridge) == n_before


def test_compatibility_mode_keeps_every_wrapper(make_tiny_bridge):
    bridge = make_tiny_bridge()
    check_bypass(bridge)
    bridge.enable_compatibility_mode(disable_warnings=True)
    n_all = wrappers(bridge)
    with bypass_bridge(bridge):
        assert wrappers(bridge) == n_all


def test_a_model_that_computes_differently_without_wrappers_keeps_them(
    make_tiny_bridge, monkeypatch
):
    bridge = make_tiny_bridge()
    n_all = wrappers(bridge)
    attention = bridge.blocks[1].attn.original_component
    monkeypatch.setattr(attention, "forward", lambda hidden_states, **_: (hidden_states, None))
    with bypass_bridge(bridge):
        assert wrappers(bridge) == n_all


def test_it_is_not_tried_while_there_are_hooks(make_tiny_bridge):
    bridge = make_tiny_bridge()
    n_all, seen = wrappers(bridge), []
    hook = ("blocks.1.hook_out", lambda activation, hook: seen.append(len(activation[0])))
    with bridge.hooks(fwd_hooks=[hook]):
        row_logits(bridge, torch.arange(10))
        assert seen == [10]
        with bypass_bridge(bridge):
            assert wrappers(bridge) == n_all
    with bypass_bridge(bridge):
        assert wrappers(bridge) == 0


def test_a_hooked_transformer_is_left_as_it_is(hooked_transformer):
    modules, expected = list(hooked_transformer.modules()), hooked_transformer(TOKENS)
    with torch.inference_mode(), bypass_bridge(hooked_transformer):
        assert list(hooked_transformer.modules()) == modules
        assert torch.equal(hooked_transformer(TOKENS), expected)


def test_the_slow_way_gives_the_same_log_probabilities(bridge, monkeypatch):
    rows, edit = [[1, 504, 817, 282]], lambda activation: activation * 1.1
    fast = log_probabilities_with_edit(bridge, rows, "blocks.1.hook_resid_post", edit)
    monkeypatch.setattr("saetask.models.fast_forward._has_no_hooks", lambda part: False)
    slow = log_probabilities_with_edit(bridge, rows, "blocks.1.hook_resid_post", edit)
    torch.testing.assert_close(fast, slow)
    assert (
        run_with_hook_outputs(bridge, TOKENS, ["blocks.1.hook_out"], to_the_end=True).logits
        is not None
    )


def test_a_model_that_is_done_with_is_forgotten(make_tiny_bridge):
    bridge = make_tiny_bridge()
    row_logits(bridge, TOKENS[0])
    gone = weakref.ref(bridge)
    del bridge
    gc.collect()
    assert gone() is None


def test_a_chat_model_is_tried_on_a_chat_and_a_refusing_template_on_the_sentence(tiny_tokenizer):
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = None
    bare = fast_forward.trial_tokens(tokenizer)
    tokenizer.chat_template = "<{{ messages[0]['content'] }}>"
    chat = fast_forward.trial_tokens(tokenizer)
    assert tokenizer.decode(chat).startswith("<")
    assert len(chat) > len(bare)
    tokenizer.chat_template = "{{ raise_exception('no user may speak') }}"
    assert fast_forward.trial_tokens(tokenizer) == bare


def test_one_position_in_ten_may_be_further_off_in_16_bits_and_none_in_float32():
    expected = torch.randn(1, 10, 50)
    far = expected.clone()
    far[:, 0] += 1
    assert fast_forward.close(far, expected, dtype=torch.bfloat16)
    assert not fast_forward.close(far, expected)
    far[:, 1] += 1
    assert not fast_forward.close(far, expected, dtype=torch.bfloat16)
