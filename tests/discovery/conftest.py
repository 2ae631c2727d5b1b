import pytest

from tests.helpers.words import make_word_sae


@pytest.fixture(scope="session")
def word_sae(tiny_model, tiny_tokenizer):
    return make_word_sae(tiny_model, tiny_tokenizer)
