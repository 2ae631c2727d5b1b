import copy
import shutil

import pytest
import torch

from saetask.default_model import DEFAULT_MODEL
from saetask.errors import UserError
from saetask.models import (
    context_size,
    generate_texts,
    load_model,
    model_fingerprint,
    model_tokenizer,
    read_hook,
    resolve_hook_name,
    right_padded,
    spliced_loss,
    tree_logits,
)

ALIAS = "blocks.2.hook_resid_post"
CANONICAL = "blocks.2.hook_out"
TOKENS = torch.tensor([[1, 504, 2817, 282, 260, 5491], [1, 29, 30, 31, 32, 33]])


@pytest.fixture(scope="module")
def hf_model(make_tiny_hf_model):
    """The tiny model's weights in a plain Hugging Face model, never wrapped by a bridge."""
    return make_tiny_hf_model()


@pytest.fixture(scope="module")
def hf_folder(hf_model, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    hf_model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def damaged_folder(hf_folder, tmp_path):
    return shutil.copytree(hf_folder, tmp_path / "damaged")


@pytest.fixture(scope="module")
def hooked_transformer(tokenizer):
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    config = HookedTransformerConfig(
        n_layers=4,
        d_model=32,
        n_ctx=64,
        d_head=8,
        d_mlp=64,
        d_vocab=len(tokenizer),
        act_fn="gelu",
        device="cpu",
        seed=0,
    )
    return HookedTransformer(config, tokenizer=copy.deepcopy(tokenizer)).eval()


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


def test_a_plain_bridge_resolves_aliases_too(make_tiny_hf_model, tokenizer, tiny_model):
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(
        "tiny", hf_model=make_tiny_hf_model(), tokenizer=copy.deepcopy(tokenizer), device="cpu"
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
    rows = [[1, 504, 2817, 282], [1, 29]]
    batch = read_hook(tiny_model, right_padded(rows), ALIAS)
    assert right_padded(rows).tolist() == [[1, 504, 2817, 282], [1, 29, 0, 0]]
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
    spliced_loss(any_model, [1, 5, 6], ALIAS, lambda activation: activation)
    read_hook(any_model, TOKENS, ALIAS)
    assert not any(hooks_of(any_model).values())
    assert all_torch_hooks(any_model) == once, "hooks pile up"


def test_a_failing_edit_leaves_no_hooks(any_model):
    def fail(activation):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        spliced_loss(any_model, [1, 5, 6], ALIAS, fail)
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


# Loading


def test_a_live_model_is_returned_as_it_is(tiny_model, hooked_transformer):
    assert load_model(tiny_model) is tiny_model
    assert load_model(hooked_transformer) is hooked_transformer


def test_a_folder_saved_by_hugging_face_reads_like_the_model_saved(hf_folder, hf_model, tokenizer):
    loaded = load_model(hf_folder, dtype=torch.float32, device="cpu")
    with torch.inference_mode():
        output = hf_model(TOKENS, output_hidden_states=True)
    found = read_hook(loaded, TOKENS, ALIAS)
    torch.testing.assert_close(found, output.hidden_states[3], atol=1e-5, rtol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(TOKENS), output.logits, atol=1e-4, rtol=1e-4)
    assert not loaded.training
    assert context_size(loaded) == 256
    text = "The bank 🦔"
    assert model_tokenizer(loaded).tokenize(text) == tokenizer.tokenize(text)


def test_the_dtype_asked_for_is_the_dtype_read(hf_folder):
    loaded = load_model(str(hf_folder), dtype=torch.bfloat16, device="cpu")
    assert read_hook(loaded, TOKENS, ALIAS).dtype == torch.bfloat16


def test_the_fingerprint_tells_weights_apart_and_survives_saving(hf_folder, tiny_model, model):
    loaded = load_model(hf_folder, dtype=torch.float32, device="cpu")
    assert model_fingerprint(loaded) == model_fingerprint(tiny_model) != model_fingerprint(model)


def test_a_folder_without_config_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"no config\.json"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "damage",
    ["model.safetensors cut short", "model.safetensors gone", "config.json nonsense"],
)
def test_a_damaged_folder_is_refused_in_one_line_that_names_it(damaged_folder, damage):
    file = damaged_folder / damage.split()[0]
    if damage.endswith("cut short"):
        file.write_bytes(file.read_bytes()[:5000])
    elif damage.endswith("gone"):
        file.unlink()
    else:
        file.write_text("{ nonsense")
    with pytest.raises(UserError, match="Cannot load the model") as caught:
        load_model(damaged_folder)
    assert str(damaged_folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_or_damaged_gguf_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load_model(tmp_path / "missing.gguf")
    (tmp_path / "damaged.gguf").write_bytes(b"GGUF nonsense")
    with pytest.raises(UserError, match="Cannot load the model"):
        load_model(tmp_path / "damaged.gguf")


@pytest.mark.parametrize(
    "name", ["no/such/folder", "/no/such/folder", "a model, please", "", "..", "~/no such"]
)
def test_a_name_that_can_be_nothing_is_refused_without_asking_the_hub(name):
    with pytest.raises(UserError, match=r"is no folder|no config\.json"):
        load_model(name)


def test_a_misspelt_alias_is_refused_with_the_right_one(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=f"Did you mean '{DEFAULT_MODEL}'") as caught:
        load_model("smolm2-135m-instruct")
    assert "\n" not in str(caught.value)


def test_a_model_without_a_tokenizer_is_refused(monkeypatch, tiny_model):
    monkeypatch.setattr(tiny_model, "tokenizer", None)
    with pytest.raises(UserError, match="no tokenizer"):
        model_tokenizer(tiny_model)


# Generation, trees of tokens, and spliced activations


def test_generation_in_a_left_padded_batch_equals_one_by_one(model):
    texts = ["The capital of France is", "One, two, three, four,", "The"]
    prompts = [model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    together = generate_texts(model, prompts, max_new_tokens=3)
    assert together == [generate_texts(model, [prompt], 3)[0] for prompt in prompts]
    assert together[0].startswith(" Paris")
    assert together[1].startswith(" five")


def test_generation_gives_the_new_text_only_and_stops_at_its_length(tiny_model):
    prompts = [[1, 504, 2817], [1, 29]]
    short, long = (generate_texts(tiny_model, prompts, n) for n in (2, 6))
    for a, b, prompt in zip(short, long, prompts, strict=True):
        assert b.startswith(a)
        assert 0 < len(a) < len(b)
        assert tiny_model.tokenizer.decode(prompt) not in b
    assert generate_texts(tiny_model, [], 5) == []


def test_tree_logits_of_a_chain_equal_the_hf_models(tiny_model, hf_model):
    tokens = TOKENS[0]
    positions = torch.arange(len(tokens))
    visible = torch.ones(len(tokens), len(tokens), dtype=torch.bool).tril()
    found = tree_logits(tiny_model, tokens, positions, visible, torch.tensor([1, 4, 5]))
    with torch.inference_mode():
        expected = hf_model(tokens[None]).logits[0, [1, 4, 5]]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_tree_logits_of_a_branch_do_not_see_the_other_branch(tiny_model, hf_model):
    # 1 - 504 - 2817
    #         - 282 - 260
    tokens = torch.tensor([1, 504, 2817, 282, 260])
    positions = torch.tensor([0, 1, 2, 2, 3])
    visible = torch.tensor(
        [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 1, 0, 1, 1]],
        dtype=torch.bool,
    )
    found = tree_logits(tiny_model, tokens, positions, visible, torch.tensor([2, 4]))
    with torch.inference_mode():
        first = hf_model(torch.tensor([[1, 504, 2817]])).logits[0, -1]
        second = hf_model(torch.tensor([[1, 504, 282, 260]])).logits[0, -1]
    torch.testing.assert_close(found[0], first, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[1], second, atol=1e-4, rtol=1e-4)


def test_an_identity_edit_changes_no_loss_and_another_one_does(any_model):
    row, seen = TOKENS[0].tolist(), []

    def identity(activation):
        seen.append(tuple(activation.shape))
        return activation

    clean = spliced_loss(any_model, row, ALIAS, None)
    assert spliced_loss(any_model, row, ALIAS, identity) == pytest.approx(clean, abs=1e-5)
    assert seen == [(1, 6, 32)]
    assert abs(spliced_loss(any_model, row, ALIAS, torch.zeros_like) - clean) > 1e-3


def test_spliced_loss_is_the_mean_next_token_cross_entropy(tiny_model, hf_model):
    with torch.inference_mode():
        expected = hf_model(TOKENS[:1], labels=TOKENS[:1]).loss.item()
    clean = spliced_loss(tiny_model, TOKENS[0].tolist(), ALIAS, None)
    assert clean == pytest.approx(expected, abs=1e-4)
