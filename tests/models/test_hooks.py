import copy

import pytest
import torch

from saetask.errors import UserError
from saetask.models.forward import right_padded
from saetask.models.hooks import (
    hook_names_by_layer,
    loss_with_edit,
    read_hook,
    resolve_hook_name,
    run_with_hook_outputs,
)

ALIAS = "blocks.2.hook_resid_post"
CANONICAL = "blocks.2.hook_out"
TOKENS = torch.tensor([[1, 504, 817, 282, 260, 1491], [1, 29, 30, 31, 32, 33]])


@pytest.fixture(scope="module")
def hf_model(make_tiny_hf_model):
    """The tiny model's weights in a plain Hugging Face model, never wrapped by a bridge."""
    return make_tiny_hf_model()


@pytest.fixture(params=["bridge", "hooked_transformer"])
def any_model(request, tiny_model, hooked_transformer):
    yield (model := tiny_model if request.param == "bridge" else hooked_transformer)
    model.reset_hooks(including_permanent=True)


def hooks_of(model):
    return {name: len(point.fwd_hooks) for name, point in model.hook_dict.items()}


def all_torch_hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


# Reading at a hook point


def test_an_alias_and_the_canonical_name_give_the_same_reading(tiny_model):
    assert resolve_hook_name(tiny_model, ALIAS) == CANONICAL
    assert resolve_hook_name(tiny_model, CANONICAL) == CANONICAL
    by_alias = read_hook(tiny_model, TOKENS, ALIAS)
    torch.testing.assert_close(by_alias, read_hook(tiny_model, TOKENS, CANONICAL))
    other = read_hook(tiny_model, TOKENS, "blocks.1.hook_resid_post")
    assert not torch.allclose(by_alias, other, atol=1e-2)


def test_a_reading_equals_the_hf_models_hidden_state(tiny_model, hf_model):
    with torch.inference_mode():
        states = hf_model(TOKENS, output_hidden_states=True).hidden_states
    found = read_hook(tiny_model, TOKENS, ALIAS)
    torch.testing.assert_close(found, states[3], atol=1e-5, rtol=1e-5)


def test_a_plain_bridge_resolves_aliases_too(make_tiny_hf_model, tiny_tokenizer, tiny_model):
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(
        "tiny", hf_model=make_tiny_hf_model(), tokenizer=copy.deepcopy(tiny_tokenizer), device="cpu"
    )
    assert resolve_hook_name(bridge, ALIAS) == CANONICAL
    torch.testing.assert_close(
        read_hook(bridge, TOKENS, ALIAS), read_hook(tiny_model, TOKENS, ALIAS)
    )


def test_a_hooked_transformer_is_read_like_its_own_cache(hooked_transformer):
    _, cache = hooked_transformer.run_with_cache(TOKENS)
    found = read_hook(hooked_transformer, TOKENS, ALIAS)
    assert found.shape == (2, 6, 32)
    torch.testing.assert_close(found, cache[ALIAS])


def test_attention_heads_are_flattened_to_one_axis(hooked_transformer):
    name = "blocks.1.attn.hook_z"
    _, cache = hooked_transformer.run_with_cache(TOKENS)
    torch.testing.assert_close(
        read_hook(hooked_transformer, TOKENS, name), cache[name].reshape(2, 6, 32)
    )


def test_what_follows_a_rows_own_tokens_changes_nothing(tiny_model):
    rows = [[1, 504, 817, 282], [1, 29]]
    batch = read_hook(tiny_model, right_padded(rows), ALIAS)
    assert right_padded(rows).tolist() == [[1, 504, 817, 282], [1, 29, 0, 0]]
    for number, row in enumerate(rows):
        alone = read_hook(tiny_model, torch.tensor([row]), ALIAS)[0]
        torch.testing.assert_close(batch[number, : len(row)], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("blocks.9.hook_resid_post", "blocks."),
        ("blocks.2.hook_resid_pots", "blocks.2."),
        ("block.2.hook_out", "blocks.2.hook_out"),
    ],
)
def test_an_unknown_hook_point_is_refused_with_a_suggestion(tiny_model, name, suggested):
    with pytest.raises(UserError) as caught:
        read_hook(tiny_model, TOKENS, name)
    message = str(caught.value)
    assert f"'{name}' does not exist in tiny-llama (4 layers)" in message
    assert f"Did you mean '{suggested}" in message
    assert "\n" not in message


def test_a_hopeless_hook_name_does_not_list_every_hook_point(tiny_model):
    with pytest.raises(UserError, match="does not exist") as caught:
        read_hook(tiny_model, TOKENS, "zzz")
    assert len(str(caught.value)) < 500


def test_a_hook_point_that_never_runs_is_reported(tiny_model):
    unused = "blocks.2.attn.hook_hidden_states"
    assert unused in tiny_model.hook_dict
    with pytest.raises(UserError, match=f"never reached hook point '{unused}'"):
        read_hook(tiny_model, TOKENS, unused)


def test_a_hook_point_that_is_switched_off_is_reported(any_model):
    gated = "blocks.2.attn.hook_result"
    assert gated in any_model.hook_dict
    with pytest.raises(UserError, match=gated):
        read_hook(any_model, TOKENS, gated)
    assert not any(hooks_of(any_model).values())


# Hooks are left as they were found


def test_reading_leaves_no_hooks(any_model):
    read_hook(any_model, TOKENS, ALIAS)
    once = all_torch_hooks(any_model)
    assert not any(hooks_of(any_model).values())
    loss_with_edit(any_model, [1, 5, 6], ALIAS, lambda activation: activation)
    read_hook(any_model, TOKENS, ALIAS)
    assert not any(hooks_of(any_model).values())
    assert all_torch_hooks(any_model) == once, "hooks pile up"


def test_a_failing_edit_leaves_no_hooks(any_model):
    def fail(activation):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loss_with_edit(any_model, [1, 5, 6], ALIAS, fail)
    assert not any(hooks_of(any_model).values())


@pytest.mark.parametrize("is_permanent", [True, False])
@pytest.mark.parametrize("layer", [1, 2])
def test_the_users_own_hooks_stay_and_fire(any_model, is_permanent, layer):
    fired = []
    name = resolve_hook_name(any_model, f"blocks.{layer}.hook_resid_post")
    point = any_model.hook_dict[name]
    point.add_hook(lambda activation, hook: fired.append(name), is_permanent=is_permanent)
    before = hooks_of(any_model)
    read_hook(any_model, TOKENS, ALIAS)
    assert hooks_of(any_model) == before
    assert fired == [name], "the reading sees the model as its owner has set it up"
    any_model(TOKENS)
    assert fired == [name, name]


# Several hook points at once


def test_one_pass_catches_what_single_readings_give(any_model):
    names = ["blocks.0.hook_resid_post", ALIAS, "blocks.3.hook_resid_pre"]
    caught, logits = run_with_hook_outputs(any_model, TOKENS, names, to_the_end=True)
    assert list(caught) == names
    for name in names:
        torch.testing.assert_close(caught[name], read_hook(any_model, TOKENS, name))
    with torch.inference_mode():
        torch.testing.assert_close(logits, any_model(TOKENS))
    assert run_with_hook_outputs(any_model, TOKENS, names).logits is None
    assert not any(hooks_of(any_model).values())


def test_siblings_are_the_same_kind_of_hook_point_in_every_block(any_model):
    assert hook_names_by_layer(any_model, [ALIAS]) == {
        n: (f"blocks.{n}.hook_resid_post",) for n in range(4)
    }
    apart = hook_names_by_layer(any_model, ["blocks.1.hook_mlp_out", "blocks.2.hook_resid_post"])
    assert list(apart) == [0, 1, 2], "the last block has none after it"
    assert apart[2] == ("blocks.2.hook_mlp_out", "blocks.3.hook_resid_post")
    assert hook_names_by_layer(any_model, ["hook_embed"]) == {}


# Spliced activations


def test_an_identity_edit_changes_no_loss_and_another_one_does(any_model):
    row, seen = TOKENS[0].tolist(), []

    def identity(activation):
        seen.append(tuple(activation.shape))
        return activation

    clean = loss_with_edit(any_model, row, ALIAS, None)
    assert loss_with_edit(any_model, row, ALIAS, identity) == pytest.approx(clean, abs=1e-5)
    assert seen == [(1, 6, 32)]
    assert abs(loss_with_edit(any_model, row, ALIAS, torch.zeros_like) - clean) > 1e-3


def test_spliced_loss_is_the_mean_next_token_cross_entropy(tiny_model, hf_model):
    with torch.inference_mode():
        expected = hf_model(TOKENS[:1], labels=TOKENS[:1]).loss.item()
    clean = loss_with_edit(tiny_model, TOKENS[0].tolist(), ALIAS, None)
    assert clean == pytest.approx(expected, abs=1e-4)


def test_a_hook_point_is_read_and_edited_after_sae_lens_was_at_it(tiny_model, tiny_sae):
    tokens, name = torch.tensor([[5, 6, 7]]), tiny_sae.cfg.metadata.hook_name
    read = read_hook(tiny_model, tokens, name)
    edited = loss_with_edit(tiny_model, [5, 6, 7], name, torch.zeros_like)
    tiny_model.run_with_cache_with_saes(tokens, saes=[tiny_sae])
    assert torch.equal(read_hook(tiny_model, tokens, name), read)
    tiny_model.run_with_cache_with_saes(tokens, saes=[tiny_sae])
    assert loss_with_edit(tiny_model, [5, 6, 7], name, torch.zeros_like) == edited
    assert loss_with_edit(tiny_model, [5, 6, 7], name, None) != edited


def test_the_public_helper_makes_a_users_hook_fire_under_the_saes_own_name(tiny_model, tiny_sae):
    from saetask.models import resolve_hook_name as public

    name, fired = tiny_sae.cfg.metadata.hook_name, []
    hook = (public(tiny_model, name), lambda activation, hook: fired.append(activation.shape[-1]))
    with tiny_model.hooks(fwd_hooks=[hook]), torch.inference_mode():
        tiny_model(torch.tensor([[1, 504, 817]]))
    assert fired == [32]


def test_an_edit_at_a_hook_point_that_is_never_reached_is_refused(tiny_model, monkeypatch):
    """Else the unedited loss would stand for the edited one."""
    unused = "blocks.2.attn.hook_hidden_states"
    with pytest.raises(UserError, match=f"never reached hook point '{unused}'"):
        loss_with_edit(tiny_model, [5, 6, 7], unused, torch.zeros_like)
