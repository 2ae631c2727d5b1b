"""Folders load whole or not at all, and each refusal is a line that says what to do."""

import json
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from saetask import UserError, load_model
from saetask.models import loading
from saetask.models.generation import end_tokens
from tests.helpers.tiny_models import SIZES, build, save


@pytest.fixture
def folder(tiny_model_folder, tmp_path):
    return shutil.copytree(tiny_model_folder, tmp_path / "model")


def change_config(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **values}))


def change_weights(folder, change):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def refusal(folder):
    with pytest.raises(UserError) as caught:
        load_model(folder, dtype=torch.float32, device="cpu")
    line = str(caught.value)
    assert line.startswith(f"Cannot load the model '{folder}': ")
    assert "\n" not in line and len(line) < 350 + len(str(folder))
    return line


def test_missing_weights_are_refused_by_name_instead_of_made_up(folder):
    change_weights(folder, lambda all: {k: v for k, v in all.items() if "layers.1.mlp" not in k})
    line = refusal(folder)
    assert "lacks the weights model.layers.1.mlp.down_proj.weight" in line


def test_weights_of_another_size_are_refused_by_name(folder):
    change_config(folder, intermediate_size=48)
    assert "has another size than its config for the weights model.layers.0.mlp." in refusal(folder)
    assert "and 9 more" in refusal(folder)


def test_tied_weights_are_not_missing(folder):
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    assert load_model(folder, device="cpu").cfg.n_layers == 4
    change_config(folder, tie_word_embeddings=False)
    assert "lacks the weights lm_head.weight" in refusal(folder)


def test_weights_within_the_layers_that_find_no_place_are_told(folder, capfd):
    bias = {"model.layers.0.self_attn.q_proj.bias": torch.ones(32), "score.weight": torch.ones(2)}
    change_weights(folder, lambda all: {**all, **bias})
    load_model(folder, device="cpu")
    (line,) = (line for line in capfd.readouterr().err.splitlines() if "warning" in line)
    assert "no place for the weights model.layers.0.self_attn.q_proj.bias of the" in line


@pytest.mark.parametrize("family", ["gpt2", "gptj"])
def test_masks_in_old_checkpoints_are_no_weights(family, tiny_tokenizer, tmp_path, capfd):
    folder = save(build(family, tiny_tokenizer), tiny_tokenizer, tmp_path)
    masks = {f"transformer.h.0.attn.{name}": torch.ones(1) for name in ("bias", "masked_bias")}
    change_weights(folder, lambda all: {**all, **masks})
    load_model(folder, device="cpu")
    assert "saetask: warning" not in capfd.readouterr().err


def test_weights_that_are_not_numbers_are_refused(folder):
    change_weights(folder, lambda all: {name: value * torch.nan for name, value in all.items()})
    assert "logits are not finite" in refusal(folder)


def test_a_missing_file_of_several_is_named(make_tiny_hf_model, tiny_tokenizer, tmp_path):
    make_tiny_hf_model().save_pretrained(tmp_path, max_shard_size="100KB")
    tiny_tokenizer.save_pretrained(tmp_path)
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 1 and load_model(tmp_path, device="cpu").cfg.n_layers == 4
    shards[1].unlink()
    assert f"1 of its {len(shards)} files of weights are missing, such as {shards[1].name}" in (
        refusal(tmp_path)
    )


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth"])
def test_pickled_weights_are_refused_with_how_to_convert_them(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    line = refusal(folder)
    assert name in line and "save_pretrained" in line


def test_an_index_that_names_a_pickle_is_refused(make_tiny_hf_model, tiny_tokenizer, tmp_path):
    make_tiny_hf_model().save_pretrained(tmp_path, max_shard_size="100KB")
    tiny_tokenizer.save_pretrained(tmp_path)
    shard = sorted(tmp_path.glob("model-*.safetensors"))[0]
    shard.rename(tmp_path / "shard.bin")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(index.read_text().replace(shard.name, "shard.bin"))
    line = refusal(tmp_path)
    assert "shard.bin" in line and "save_pretrained" in line


def test_no_weights_and_no_tokenizer_are_told_apart(folder):
    (folder / "tokenizer.json").unlink()
    assert "has no tokenizer (tokenizer.json)" in refusal(folder)
    (folder / "model.safetensors").unlink()
    assert "has no weights (model.safetensors)" in refusal(folder)


def test_a_model_that_needs_code_of_its_own_is_refused_and_asks_nothing(folder, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    change_config(folder, model_type="own", auto_map={"AutoConfig": "code.OwnConfig"})
    assert "type 'own' needs code of its own (auto_map" in refusal(folder)
    change_config(folder, model_type="llama")  # which transformers has
    assert load_model(folder, device="cpu").cfg.n_layers == 4


def test_an_unknown_type_of_model_is_refused_with_the_one_it_is_near(folder):
    change_config(folder, model_type="llamma")
    assert "no model of type 'llamma'. Did you mean 'llama'?" in refusal(folder)


@pytest.mark.parametrize("kind", ["LlamaForSequenceClassification", "LlamaForTokenClassification"])
def test_a_classifier_is_refused(folder, kind):
    change_config(folder, architectures=[kind])
    assert f"it is a {kind}, no causal language model" in refusal(folder)


@pytest.mark.parametrize(("family", "kind"), [("bert", "BertForMaskedLM"), ("t5", "T5Model")])
def test_encoders_are_refused(family, kind, tiny_tokenizer, tmp_path):
    sizes = SIZES if family == "bert" else {"d_model": 32, "d_ff": 64, "num_layers": 1}
    config = transformers.AutoConfig.for_model(family, **sizes, vocab_size=64)
    save(getattr(transformers, kind)(config), tiny_tokenizer, tmp_path)
    assert "no causal language model" in refusal(tmp_path)


def test_an_encoder_under_the_name_of_a_language_model_is_refused(tiny_tokenizer, tmp_path):
    config = transformers.BertConfig(**SIZES, vocab_size=len(tiny_tokenizer))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.BertLMHeadModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "LayerNorm" not in name:
                parameter.normal_(0, 0.5)
    save(model, tiny_tokenizer, tmp_path)
    assert "BertLMHeadModel lets tokens see those behind them" in refusal(tmp_path)


def test_an_architecture_without_bridge_is_refused_with_a_near_one_not_with_all(
    tiny_tokenizer, tmp_path
):
    options = {**SIZES, "vocab_size": len(tiny_tokenizer), "is_decoder": True}
    config = transformers.AutoConfig.for_model("roberta", **options)
    save(transformers.RobertaForCausalLM(config), tiny_tokenizer, tmp_path)
    line = refusal(tmp_path)
    assert "does not support the architecture 'RobertaForCausalLM'. Did you mean 'Ro" not in line
    assert "does not support the architecture 'RobertaForCausalLM'. Did you mean '" in line


def test_the_class_that_transformers_made_decides_not_what_the_config_calls_it(
    tiny_tokenizer, tmp_path
):
    save(build("gemma3_text", tiny_tokenizer), tiny_tokenizer, tmp_path)
    change_config(tmp_path, architectures=None)
    assert load_model(tmp_path, device="cpu").cfg.architecture == "Gemma3ForCausalLM"


def test_a_bridge_that_computes_otherwise_is_refused(folder, monkeypatch):
    logits = torch.arange(3.0).expand(1, 8, 3)
    given = iter([logits, logits[:, :-1], -logits])
    monkeypatch.setattr(loading, "trial_logits", lambda *_: next(given))
    assert "computes other logits than transformers for LlamaForCausalLM" in refusal(folder)


@pytest.mark.parametrize(
    ("file", "message"),
    [("adapter_config.json", "but an adapter; merge it"), ("x.gguf", "give the GGUF file itself")],
)
def test_what_a_folder_without_config_holds_is_named(tmp_path, file, message):
    (tmp_path / file).write_text("{}")
    with pytest.raises(UserError, match=rf"no config\.json.*{message}"):
        load_model(tmp_path)


def test_a_hub_model_that_cannot_be_reached_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert "not in the Hugging Face cache, and huggingface.co cannot be reached" in refusal(
        "someone/some-model"
    )


def test_models_load_in_the_type_that_is_set(folder, monkeypatch):
    for name in ("float32", "bfloat16"):
        monkeypatch.setenv("SAETASK_DTYPE", name)
        loaded = load_model(folder, device="cpu")
        assert next(loaded.parameters()).dtype == getattr(torch, name)
        by_name = load_model(folder, dtype="float32", device="cpu")
        assert next(by_name.parameters()).dtype == torch.float32
        by_default = load_model(folder, dtype="auto", device="cpu")
        assert next(by_default.parameters()).dtype == getattr(torch, name)
    with pytest.raises(UserError, match="dtype is 'float8'; it must be auto, float32, bfloat16"):
        load_model(folder, dtype="float8", device="cpu")
    monkeypatch.setenv("SAETASK_DTYPE", "float8")
    with pytest.raises(UserError, match="SAETASK_DTYPE is 'float8'; it must be float32 or bfloat"):
        load_model(folder, device="cpu")


@pytest.mark.parametrize(
    "values",
    [
        {"num_return_sequences": 3},
        {"cache_implementation": "nonsense"},
        {"max_new_tokens": -1},
        {"watermarking_config": 3},
        {"compile_config": []},
    ],
    ids=lambda values: next(iter(values)),
)
def test_of_a_generation_config_only_the_end_tokens_count(folder, values):
    stated = {"eos_token_id": [7, 9], **values}
    (folder / "generation_config.json").write_text(json.dumps(stated))
    model = load_model(folder, dtype=torch.float32, device="cpu")
    assert end_tokens(model) == [7, 9]


def test_a_generation_config_that_is_no_object_is_refused_by_name(folder):
    (folder / "generation_config.json").write_text("[1]")
    assert "generation_config.json is no JSON object" in refusal(folder)


def test_end_tokens_that_are_no_numbers_leave_a_model_to_be_loaded(folder):
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": "</s>"}))
    model = load_model(folder, dtype=torch.float32, device="cpu")
    with pytest.raises(UserError, match=r"generation_config\.json .* is '</s>'"):
        end_tokens(model)
