import shutil

import pytest
import torch

from saetask.errors import UserError
from saetask.models.forward import generate_texts, tree_logits
from saetask.models.hooks import read_hook
from saetask.models.loading import (
    DEFAULT_MODEL,
    context_size,
    load_model,
    model_fingerprint,
    model_tokenizer,
)
from tests.helpers.refusals import refusal

ALIAS = "blocks.2.hook_resid_post"
TOKENS = torch.tensor([[1, 504, 817, 282, 260, 1491], [1, 29, 30, 31, 32, 33]])


@pytest.fixture(scope="module")
def hf_model(make_tiny_hf_model):
    """The tiny model's weights in a plain Hugging Face model, never wrapped by a bridge."""
    return make_tiny_hf_model()


@pytest.fixture(scope="module")
def hf_folder(hf_model, tiny_tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    hf_model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def damaged_folder(hf_folder, tmp_path):
    return shutil.copytree(hf_folder, tmp_path / "damaged")


# Loading


def test_a_live_model_is_returned_as_it_is(tiny_model, hooked_transformer):
    assert load_model(tiny_model) is tiny_model
    assert load_model(hooked_transformer) is hooked_transformer


def test_a_folder_saved_by_hugging_face_reads_like_the_model_saved(
    hf_folder, hf_model, tiny_tokenizer
):
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
    assert model_tokenizer(loaded).tokenize(text) == tiny_tokenizer.tokenize(text)


def test_the_dtype_asked_for_is_the_dtype_read(hf_folder):
    loaded = load_model(str(hf_folder), dtype=torch.bfloat16, device="cpu")
    assert read_hook(loaded, TOKENS, ALIAS).dtype == torch.bfloat16


def test_the_fingerprint_tells_weights_apart_and_survives_saving(
    hf_folder, tiny_model, make_tiny_bridge, make_tiny_hf_model
):
    loaded = load_model(hf_folder, dtype=torch.float32, device="cpu")
    other = make_tiny_bridge(make_tiny_hf_model(seed=1))
    assert model_fingerprint(loaded) == model_fingerprint(tiny_model) != model_fingerprint(other)


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


# Generation and trees of tokens


def test_generation_in_a_left_padded_batch_equals_one_by_one(model):
    texts = ["The capital of France is", "One, two, three, four,", "The"]
    prompts = [model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    together = generate_texts(model, prompts, max_new_tokens=3)
    assert together == [generate_texts(model, [prompt], 3)[0] for prompt in prompts]
    assert together[0].startswith(" Paris")
    assert together[1].startswith(" five")


def test_the_tiny_model_generates_alike_in_a_left_padded_batch_and_one_by_one(tiny_model):
    prompts = [[1, 504, 817, 282, 260], [1, 29], [1, 30, 31, 32]]
    together = generate_texts(tiny_model, prompts, max_new_tokens=6)
    assert together == [generate_texts(tiny_model, [prompt], 6)[0] for prompt in prompts]
    assert len(set(together)) == 3


def test_generation_gives_the_new_text_only_and_stops_at_its_length(tiny_model):
    prompts = [[1, 504, 817], [1, 29]]
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
    # 1 - 504 - 817
    #         - 282 - 260
    tokens = torch.tensor([1, 504, 817, 282, 260])
    positions = torch.tensor([0, 1, 2, 2, 3])
    visible = torch.tensor(
        [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 1, 0, 1, 1]],
        dtype=torch.bool,
    )
    found = tree_logits(tiny_model, tokens, positions, visible, torch.tensor([2, 4]))
    with torch.inference_mode():
        first = hf_model(torch.tensor([[1, 504, 817]])).logits[0, -1]
        second = hf_model(torch.tensor([[1, 504, 282, 260]])).logits[0, -1]
    torch.testing.assert_close(found[0], first, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[1], second, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{folder}/config.json", "is a file; give its folder, or a .gguf file"),
        ("{folder}/missing.GGUF", "does not exist"),
        ("{folder}/missing", "is no folder"),
        ("models/weights.safetensors", "is no folder"),
        ("missing/", "is no folder"),
        ("~/missing", "is no folder"),
        (r"models\missing", "is no folder"),
    ],
)
def test_what_looks_like_a_path_is_not_looked_for_on_the_hub(hf_folder, spec, said, monkeypatch):
    from transformers import AutoTokenizer

    unreached = classmethod(lambda *_, **__: pytest.fail("The hub was asked."))
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", unreached)
    assert said in refusal(load_model, spec.format(folder=hf_folder))
