"""Rules: what a label claims, as a predicate over contexts that can be frozen and tested."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.dictionary.collect.contexts import PADDING, WINDOW

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from transformers import PreTrainedTokenizerBase

    from saetask.models.loading import Model

VIEWS = ("on", "after", "after", "about", "about", "about")
"""The token itself, the two before it, and averages of the context that reach ever further back."""
DECAYS = (0.6, 0.9, 1.0)
"""Weight of a word in an average, relative to that of the word after it."""
SCALES = (1, 0.7, 0.7, 1.5, 3, 4)
"""Averages of more words are shorter; so each view has its weight."""
LARGEST_VECTOR = 576
"""Longer embeddings are projected at random (Johnson and Lindenstrauss 1984)."""
PARTIAL = "\ufffd"
"""Stands in a token's text for bytes that are part of a character: many tokens share that text."""


class Vocabulary(NamedTuple):
    """A model's tokens as texts and as vectors."""

    texts: list[str]
    vectors: "Float[np.ndarray, 'vocab size']"
    """Input embeddings, centred and of unit length: words of like use lie near each other."""
    special: list[int]
    """Tokens that stand for no text."""


def read_vocabulary(model: "Model") -> Vocabulary:
    """Returns a model's tokens; no layer of the model has a part in their vectors."""
    from saetask.models.forward import token_embeddings
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
    """Returns vectors of `LARGEST_VECTOR` numbers that keep the distances, nearly."""
    from sklearn.random_projection import GaussianRandomProjection

    projection: Any = GaussianRandomProjection
    return projection(n_components=LARGEST_VECTOR, random_state=0).fit_transform(vectors)


def token_texts(tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """Returns the text of every token."""
    return [str(tokenizer.decode([token])) for token in range(len(tokenizer))]


class Rule(NamedTuple):
    """Fires where a context's vectors add up to the threshold or more."""

    weights: "Float[np.ndarray, ' VIEWS*size']"
    """float32."""
    threshold: float

    def scores(
        self, windows: "Int[np.ndarray, 'n WINDOW']", vocabulary: Vocabulary
    ) -> "Float[np.ndarray, ' n']":
        """Returns the weighted sum of each context's vectors."""
        return added_scores(self.weights, windows, vocabulary).sum((1, 2))

    def fires(
        self, windows: "Int[np.ndarray, 'n WINDOW']", vocabulary: Vocabulary
    ) -> "Bool[np.ndarray, ' n']":
        """Tells for each context whether the rule says that the feature fires."""
        return self.scores(windows, vocabulary) >= self.threshold


def added_scores(
    weights: "Float[np.ndarray, ' VIEWS*size']",
    windows: "Int[np.ndarray, 'n WINDOW']",
    vocabulary: Vocabulary,
) -> "Float[np.ndarray, 'n VIEWS WINDOW']":
    """Returns what each token of each context adds to the score, in each view."""
    tokens, places = np.unique(windows, return_inverse=True)
    by_view = vocabulary.vectors[np.maximum(tokens, 0)] @ weights.reshape(len(VIEWS), -1).T
    return view_weights(windows) * by_view[places.reshape(windows.shape)].transpose(0, 2, 1)


def view_weights(windows: "Int[np.ndarray, 'n WINDOW']") -> "Float[np.ndarray, 'n VIEWS WINDOW']":
    """Returns what each token of a context counts in each view."""
    distance = np.arange(WINDOW - 1, -1, -1)
    views = [*(distance == place for place in range(3)), *(decay**distance for decay in DECAYS)]
    weights = np.stack(views) * (windows != PADDING)[:, None, :]
    total = np.maximum(weights.sum(2, keepdims=True), 1e-9)
    return (weights / total * np.array(SCALES)[:, None]).astype(np.float32)


def context_vectors(
    windows: "Int[np.ndarray, 'n WINDOW']", vocabulary: Vocabulary
) -> "Float[np.ndarray, 'n VIEWS*size']":
    """Returns what a rule sees of each context, float32."""
    words = vocabulary.vectors[np.maximum(windows, 0)]
    return (view_weights(windows) @ words).reshape(len(windows), -1)


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
    """Leaves the spaces about a word outside the mark."""
    bare = text.strip(" ")
    return text.replace(bare, f"<<{bare}>>", 1) if bare else f"<<{text}>>"
