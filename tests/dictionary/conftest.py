import numpy as np
import pytest

from saetask import Vocabulary
from saetask.dictionary.rules import token_texts


@pytest.fixture(scope="session")
def vocabulary(tokenizer):
    """The tiny tokenizer's tokens, each with a vector of its own: no two words are alike."""
    texts = token_texts(tokenizer)
    vectors = np.random.default_rng(0).normal(size=(len(texts), 48)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Vocabulary(texts, vectors, sorted(tokenizer.all_special_ids))
