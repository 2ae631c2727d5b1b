"""Features found by words, and features in which two sets of prompts differ."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.errors import UserError

if TYPE_CHECKING:
    import pyarrow
    from scipy.sparse import csr_matrix

    from saetask.saes.activations import FeatureActivations

PIECES = 3
"""Maximum number of tokens before and after one that are looked at for the rest of its word."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Contrast:
    """A feature that fires in a larger share of one set of prompts; unpacks to its first two."""

    feature: int
    difference: float
    """Difference of the two shares."""
    label: str
    first: float
    """Share of the first prompts in which it fires."""
    second: float
    """Share of the second prompts."""
    p: float
    """Probability of such a difference or a larger one by chance (Fisher's exact test, one-sided);
    of one feature alone: with thousands of features the smallest of all are expected."""
    q: float
    """The same, corrected over all features that fire (Benjamini & Hochberg 1995)."""
    strength: float
    """Difference of the mean strongest activations, by which equal shares are ordered."""

    def __iter__(self) -> Iterator[Any]:
        return iter((self.feature, self.difference))


def contrast_features(
    first: "FeatureActivations", second: "FeatureActivations", labels: Sequence[str], limit: int
) -> list[Contrast]:
    """Returns the features that fire in a larger share of the first prompts than of the second.

    Raises:
        UserError: One of the two is empty, or they are of SAEs of different sizes.
    """
    from scipy.stats import false_discovery_control

    if not len(first) or not len(second):
        raise UserError("A contrast needs at least one prompt on each side.")
    if first.d_sae != second.d_sae or first.d_sae != len(labels):
        raise UserError(
            f"The activations are of {first.d_sae} and {second.d_sae} features, the dictionary of "
            f"{len(labels)}; read both sets of prompts through its SAE."
        )
    pooled = [each.pooled("text") for each in (first, second)]
    counts = np.stack([each.getnnz(axis=0) for each in pooled], axis=1)
    strengths = [np.asarray(abs(each).mean(axis=0)).ravel() for each in pooled]
    strength = strengths[0] - strengths[1]
    firing = np.flatnonzero(counts.any(axis=1))
    p = _chances(counts[firing], len(first), len(second))
    q = false_discovery_control(p) if len(p) else p
    shares = counts[firing] / [len(first), len(second)]
    difference = shares[:, 0] - shares[:, 1]
    order = np.lexsort((firing, -strength[firing], p, -difference))
    return [
        Contrast(
            feature=int(firing[i]),
            difference=float(difference[i]),
            label=labels[int(firing[i])],
            first=float(shares[i, 0]),
            second=float(shares[i, 1]),
            p=float(p[i]),
            q=float(q[i]),
            strength=float(strength[firing[i]]),
        )
        for i in order[:limit]
        if difference[i] > 0
    ]


def _chances(counts: np.ndarray, n_first: int, n_second: int) -> np.ndarray:
    """Returns the p-value of each pair of counts; few pairs are distinct."""
    from scipy.stats import fisher_exact

    pairs, inverse = np.unique(counts, axis=0, return_inverse=True)
    tables = ([[a, n_first - a], [b, n_second - b]] for a, b in pairs.tolist())
    values = np.array([fisher_exact(table, alternative="greater")[1] for table in tables])
    return values[inverse.ravel()] if len(pairs) else np.zeros(0)


def similarities(texts: Sequence[str], query: str) -> np.ndarray:
    """Returns the cosine of the TF-IDF vectors of words of each text and a query."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(token_pattern=r"\w+")
    try:
        vectors: csr_matrix = vectorizer.fit_transform(texts)
    except ValueError:  # no text holds a word
        return np.zeros(len(texts))
    wanted: Any = vectorizer.transform([query])
    return (vectors @ wanted.T).toarray().ravel()


def words_fired_on(contexts: "pyarrow.Table") -> Iterator[str]:
    """Yields for each context the word that the token on which the feature fires is part of.

    Args:
        contexts: Columns `tokens` and `position`, as in a dictionary's table.
    """
    tokens = contexts["tokens"].combine_chunks()
    offsets = np.asarray(tokens.offsets)
    places = offsets[:-1] + np.asarray(contexts["position"])
    columns = []
    for shift in range(-PIECES, PIECES + 1):
        inside = (places + shift >= offsets[:-1]) & (places + shift < offsets[1:])
        pieces = tokens.values.take(np.where(inside, places + shift, 0)).to_pylist()
        columns.append([piece if there else "" for piece, there in zip(pieces, inside)])
    for pieces in zip(*columns):
        before = "".join(pieces[:PIECES])
        end = len(before) + len(pieces[PIECES])
        words = _WORD.finditer("".join(pieces))
        yield " ".join(m[0] for m in words if m.end() > len(before) and m.start() < end)
