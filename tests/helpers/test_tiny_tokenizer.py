"""The tiny models' tokenizer: what the other tests take for granted of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import planted, words


def layout(tokenizer):
    """Returns all that a tokenizer file says besides the vocabulary."""
    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    keys = ("normalizer", "pre_tokenizer", "post_processor", "decoder", "truncation", "padding")
    return {key: whole[key] for key in keys}


def missing_bytes(tokenizer):
    """Returns the ASCII characters that disappear in the tokenizer."""
    found = (tokenizer.decode(tokenizer(f"a{chr(n)}b")["input_ids"]) for n in range(128))
    return [n for n, text in enumerate(found) if text != f"a{chr(n)}b"]


@pytest.mark.parametrize("word", [*words.NOUNS, *planted.WORDS, "warm", "cold"])
def test_words_that_features_are_planted_on_are_tokens(tiny_tokenizer, word):
    (token,) = tiny_tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
    assert tiny_tokenizer.decode([token]) == f" {word}"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"])))
def test_any_text_comes_back(tiny_tokenizer, text):
    assert tiny_tokenizer.decode(tiny_tokenizer(text)["input_ids"]) == text


def test_it_is_the_default_models_in_small(tiny_tokenizer, tokenizer):
    assert len(tiny_tokenizer) == 2048 < len(tokenizer)
    assert tiny_tokenizer.chat_template == tokenizer.chat_template
    assert tiny_tokenizer.all_special_tokens == tokenizer.all_special_tokens
    assert tiny_tokenizer.all_special_ids == tokenizer.all_special_ids
    for name in ("bos", "eos", "pad", "unk"):
        token_id = f"{name}_token_id"
        assert getattr(tiny_tokenizer, token_id) == getattr(tokenizer, token_id)
    assert layout(tiny_tokenizer) == layout(tokenizer)
    assert missing_bytes(tiny_tokenizer) == missing_bytes(tokenizer) != []
