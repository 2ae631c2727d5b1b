"""Tokenizers and embeddings of different sizes."""

import copy

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from saetask import UserError, load_model, read_features
from saetask.data.rendering import render
from saetask.models.vocabulary import keep_embedded_tokens
from tests.helpers.tiny_models import build, save


@pytest.fixture
def byte_tokenizer():
    """256 bytes, and no special token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(BPE({byte: number for number, byte in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def load(model, tokenizer, folder):
    return load_model(save(model, tokenizer, folder), dtype=torch.float32, device="cpu")


@pytest.mark.parametrize("n_rows", [256, 264])
def test_a_tokenizer_without_bos_and_eos_is_read_without(
    byte_tokenizer, make_tiny_sae, tmp_path, n_rows, capsys
):
    hf_model = build("llama", byte_tokenizer)
    hf_model.resize_token_embeddings(n_rows)
    model = load(hf_model, byte_tokenizer, tmp_path)
    assert model.tokenizer.bos_token_id is None and model.tokenizer.eos_token_id is None
    text = "The <|endoftext|> of it."
    assert max(render(model.tokenizer, text).token_ids) < 256
    assert len(render(model.tokenizer, text).token_ids) == len(text)
    sae = make_tiny_sae(hook_name="blocks.1.hook_resid_post")
    assert next(read_features(model, sae, [text]).firings()).token == 0
    assert "warning" not in capsys.readouterr().err


def test_a_token_that_was_added_to_the_tokenizer_only_is_plain_text(
    tiny_tokenizer, tmp_path, capsys
):
    hf_model = build("llama", tiny_tokenizer)
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.add_special_tokens({"pad_token": "[PAD]", "additional_special_tokens": ["<x>"]})
    assert len(tokenizer) == len(hf_model.get_input_embeddings().weight) + 2
    model = load(hf_model, tokenizer, tmp_path)
    assert "2 tokens that were added to its tokenizer, such as '<x>'" in capsys.readouterr().err
    assert render(model.tokenizer, "a [PAD] <x>").token_ids == (
        render(tiny_tokenizer, "a [PAD] <x>").token_ids
    )
    assert model.tokenizer.all_special_ids == [1, 2, 0]
    load_model(model)
    assert not capsys.readouterr().err, "told once"


def test_a_tokenizer_of_another_model_is_refused(tiny_tokenizer, tmp_path):
    hf_model = build("llama", tiny_tokenizer)
    hf_model.resize_token_embeddings(1000)
    with pytest.raises(UserError, match="has 2048 tokens and the model 1000 embeddings, so"):
        load(hf_model, tiny_tokenizer, tmp_path)


def test_an_embedding_with_rows_to_spare_is_usual(tiny_tokenizer, tmp_path, capsys):
    hf_model = build("llama", tiny_tokenizer)
    hf_model.resize_token_embeddings(2112)
    model = load(hf_model, tiny_tokenizer, tmp_path)
    assert len(model.tokenizer) == 2048 and "warning" not in capsys.readouterr().err


def test_a_live_models_tokenizer_is_held_against_it_too(make_tiny_bridge):
    model = make_tiny_bridge()
    model.tokenizer.add_special_tokens({"bos_token": "<new>"})
    load_model(model)
    assert model.tokenizer.bos_token_id is None


def test_a_tokenizer_that_fits_is_left_as_it_is(tiny_tokenizer):
    tokenizer = copy.deepcopy(tiny_tokenizer)
    before = tokenizer.backend_tokenizer.to_str()
    keep_embedded_tokens(tokenizer, len(tokenizer), "tiny")
    assert tokenizer.backend_tokenizer.to_str() == before
