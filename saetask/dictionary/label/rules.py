"""Rules: linear predictors, over the tokens of a context, of where a feature fires."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from einops import rearrange

from saetask.dictionary.collect.contexts import PADDING, WINDOW

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from transformers import PreTrainedTokenizerBase

    from saetask.models.loading import Model

VIEWS = ("on", "after", "after", "about", "about", "about")
"""Views of a context: the last token, the two before it, and three averages of all tokens, each of
which reaches further back than the one before."""
DECAYS = (0.6, 0.9, 1.0)
"""Weight of a word in an average, relative to that of the word after it."""
SCALES = (1, 0.7, 0.7, 1.5, 3, 4)
"""Weight of each view; it makes up for averages of more words being shorter vectors."""
LARGEST_VECTOR = 576
"""Longer embeddings are projected at random (Johnson and Lindenstrauss 1984)."""
PARTIAL = "\ufffd"
"""Replacement character, which tokens of incomplete characters decode to; many share a text."""


class Vocabulary(NamedTuple):
    """A model's tokens as texts and as vectors."""

    texts: list[str]
    vectors: "Float[np.ndarray, 'vocab size']"
    """Input embeddings, centred and of unit length, float32."""
    special: list[int]
    """Ids of special tokens."""


def read_vocabulary(model: "Model") -> Vocabulary:
    """Returns a model's tokens, as texts and as input embeddings."""
    from saetask.models.embedding import token_embeddings
    from saetask.models.loading import model_tokenizer

    tokenizer = model_tokenizer(model)
    texts = token_texts(tokenizer)
    vectors = token_embeddings(model).numpy()[: len(texts)]
    vectors = vectors - vectors.mean(0)
    if vectors.shape[1] > LARGEST_VECTOR:
        vectors = random_projection(vectors)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
    return Vocabulary(texts, vectors, sorted(set(tokenizer.all_special_ids)))


def random_projection(vectors: "Float[np.ndarray, 'n width']") -> "Float[np.ndarray, 'n size']":
    """Returns vectors projected to `LARGEST_VECTOR` dimensions; distances are nearly kept."""
    from sklearn.random_projection import GaussianRandomProjection

    projection: Any = GaussianRandomProjection
    return projection(n_components=LARGEST_VECTOR, random_state=0).fit_transform(vectors)


def token_texts(tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """Returns the text of every token."""
    return [str(tokenizer.decode([token])) for token in range(len(tokenizer))]


class Rule(NamedTuple):
    """Predicts that a feature fires where a context's score reaches the threshold."""

    weights: "Float[np.ndarray, ' VIEWS*size']"
    """float32."""
    threshold: float

    def scores(
        self, windows: "Int[np.ndarray, 'n WINDOW']", vocabulary: Vocabulary
    ) -> "Float[np.ndarray, ' n']":
        """Returns the score of each context: the weighted sum of its vectors."""
        return added_scores(self.weights, windows, vocabulary).sum((1, 2))

    def fires(
        self, windows: "Int[np.ndarray, 'n WINDOW']", vocabulary: Vocabulary
    ) -> "Bool[np.ndarray, ' n']":
        """Returns for each context whether the rule predicts that the feature fires."""
        return self.scores(windows, vocabulary) >= self.threshold


def added_scores(
    weights: "Float[np.ndarray, ' VIEWS*size']",
    windows: "Int[np.ndarray, 'n WINDOW']",
    vocabulary: Vocabulary,
) -> "Float[np.ndarray, 'n VIEWS WINDOW']":
    """Returns the contribution of each token of each context to the score, by view."""
    tokens, places = np.unique(windows, return_inverse=True)
    by_view = rearrange(weights, "(view size) -> size view", view=len(VIEWS))
    products = (vocabulary.vectors[np.maximum(tokens, 0)] @ by_view)[places.reshape(windows.shape)]
    return view_weights(windows) * rearrange(products, "n place view -> n view place")


def view_weights(windows: "Int[np.ndarray, 'n WINDOW']") -> "Float[np.ndarray, 'n VIEWS WINDOW']":
    """Returns the weight of each token of a context in each view, float32; padding has none."""
    distance = np.arange(WINDOW - 1, -1, -1)
    views = [*(distance == place for place in range(3)), *(decay**distance for decay in DECAYS)]
    weights = np.stack(views) * (windows != PADDING)[:, None, :]
    total = np.maximum(weights.sum(2, keepdims=True), 1e-9)
    return (weights / total * np.array(SCALES)[:, None]).astype(np.float32)


def context_vectors(
    windows: "Int[np.ndarray, 'n WINDOW']", vocabulary: Vocabulary
) -> "Float[np.ndarray, 'n VIEWS*size']":
    """Returns the features of each context that a rule weighs, float32."""
    words = vocabulary.vectors[np.maximum(windows, 0)]
    return rearrange(view_weights(windows) @ words, "n view size -> n (view size)")


def context_text(window: Iterable[int], vocabulary: Vocabulary, marked: int | None = None) -> str:
    """Returns a context on one line, with one token marked <<like this>>.

    Args:
        window: Token ids; padding is left out.
        vocabulary: The model's tokens.
        marked: Place of the marked token in the window; None marks none.
    """
    texts = []
    for place, token_id in enumerate(window):
        if token_id != PADDING:
            text = vocabulary.texts[token_id]
            texts.append(_marked(text) if place == marked else text)
    return "".join(texts).strip(" ").replace("\r", "").replace("\n", "↵")


def _marked(text: str) -> str:
    """Returns a token's text in marks; leading and trailing spaces stay outside them."""
    bare = text.strip(" ")
    return text.replace(bare, f"<<{bare}>>", 1) if bare else f"<<{text}>>"
