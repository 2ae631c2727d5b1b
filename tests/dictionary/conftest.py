import numpy as np
import pytest

from saetask.dictionary import Vocabulary
from saetask.dictionary.label.rules import token_texts
from tests.helpers.words import build_dictionary, make_word_sae, write_corpus


@pytest.fixture(scope="session")
def vocabulary(tiny_tokenizer):
    """The tiny tokenizer's tokens, each with a vector of its own: no two words are alike."""
    texts = token_texts(tiny_tokenizer)
    vectors = np.random.default_rng(0).normal(size=(len(texts), 48)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Vocabulary(texts, vectors, sorted(tiny_tokenizer.all_special_ids))


@pytest.fixture(scope="session")
def word_sae(tiny_model, tiny_tokenizer):
    return make_word_sae(tiny_model, tiny_tokenizer)


@pytest.fixture(scope="session")
def word_corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "texts.jsonl")


@pytest.fixture(scope="session")
def word_folder(tiny_model, word_sae, word_corpus, tmp_path_factory):
    """A dictionary of the words' SAE, its labels right."""
    out = tmp_path_factory.mktemp("dictionaries") / "words"
    return build_dictionary(tiny_model, word_sae, word_corpus, out)


@pytest.fixture(scope="session")
def word_pair(word_sae, tiny_model_folder, tmp_path_factory):
    """Flags that name the tiny model and the words' SAE."""
    sae_folder = tmp_path_factory.mktemp("saes") / "words"
    word_sae.save_model(sae_folder)
    return ["--model", str(tiny_model_folder), "--sae", str(sae_folder)]
