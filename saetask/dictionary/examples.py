"""Firing and silent contexts of a feature: to learn what it is about, or to test that."""

from functools import cached_property
from typing import NamedTuple

import numpy as np

from saetask.dictionary.firings import Firings

WINDOW = 24
"""Tokens of a context: the token in question and those before it."""
PADDING = -1


class Examples(NamedTuple):
    """Contexts of one feature, each ending with the token in question."""

    windows: np.ndarray
    """Token ids, `[n, WINDOW]`, int32; `PADDING` before a row's beginning."""
    firing: np.ndarray
    """Does the feature fire on the last token? `[n]`, bool."""
    activations: np.ndarray
    """Its activation there, `[n]`, float32; zero where it is silent."""
    hard: np.ndarray
    """Silent, but chosen to look alike, `[n]`, bool."""


class FiringIndex:
    """Firings, indexed by feature and by token."""

    def __init__(self, firings: Firings) -> None:
        self.firings = firings
        self._by_feature = firings.matrix().tocsc()
        self._usable = np.diff(firings.indptr) > 0
        order = np.argsort(firings.token_ids, kind="stable")
        self._by_token = order[self._usable[order]]

    @cached_property
    def _sorted_tokens(self) -> np.ndarray:
        return self.firings.token_ids[self._by_token]

    @cached_property
    def _usable_tokens(self) -> np.ndarray:
        return np.flatnonzero(self._usable)

    @cached_property
    def _rows(self) -> np.ndarray:
        return self.firings.token_rows()

    def tokens_firing(self, feature: int) -> np.ndarray:
        """Returns the tokens on which a feature fires, ascending."""
        low, high = self._by_feature.indptr[[feature, feature + 1]]
        return np.sort(self._by_feature.indices[low:high])

    def draw(
        self, feature: int, neighbour: int, n_firing: int, generator: np.random.Generator
    ) -> Examples:
        """Draws firing contexts, one a row, and as many random and as many hard silent ones.

        Hard: half on a token on which the feature fires elsewhere, half where its neighbour fires.
        """
        firing_tokens = self.tokens_firing(feature)
        firing = self._one_a_row(generator.permutation(firing_tokens))[:n_firing]
        n = len(firing)
        alike = self._same_token(np.unique(self.firings.token_ids[firing]))
        near = self.tokens_firing(neighbour)
        silent = [
            generator.permutation(np.setdiff1d(pool, firing_tokens))[:size]
            for pool, size in ((alike, n // 2), (near, n - n // 2))
        ]
        hard = np.concatenate(silent)
        easy = np.setdiff1d(generator.choice(self._usable_tokens, 2 * n + 8), firing_tokens)
        easy = generator.permutation(easy)[: 2 * n - len(hard)]
        tokens = np.concatenate([firing, hard, easy]).astype(np.int64)
        kinds = np.repeat([0, 1, 2], [n, len(hard), len(easy)])
        return Examples(
            self.windows(tokens), kinds == 0, self.activations(feature, tokens), kinds == 1
        )

    def activations(self, feature: int, tokens: np.ndarray) -> np.ndarray:
        """Returns a feature's activation on some tokens, zero where it is silent, `[n]`."""
        low, high = self._by_feature.indptr[[feature, feature + 1]]
        found = np.zeros(len(self.firings.token_ids), np.float32)
        found[self._by_feature.indices[low:high]] = self._by_feature.data[low:high]
        return found[tokens]

    def windows(self, tokens: np.ndarray) -> np.ndarray:
        """Returns the contexts that end with the given tokens, `[n, WINDOW]`."""
        return cut_windows(
            self.firings.token_ids, self.firings.row_starts[self._rows[tokens]], tokens
        )

    def _one_a_row(self, tokens: np.ndarray) -> np.ndarray:
        _, first = np.unique(self._rows[tokens], return_index=True)
        return tokens[np.sort(first)]

    def _same_token(self, token_ids: np.ndarray) -> np.ndarray:
        lows = np.searchsorted(self._sorted_tokens, token_ids)
        highs = np.searchsorted(self._sorted_tokens, token_ids, side="right")
        return np.concatenate(
            [self._by_token[low:high] for low, high in zip(lows, highs)] or [np.empty(0, np.int64)]
        )


def cut_windows(token_ids: np.ndarray, row_starts: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Cuts the context that ends with each token.

    Args:
        token_ids: Rows one after another, `[n_tokens]`.
        row_starts: Where the row of each wanted token begins, `[n]`.
        tokens: The wanted tokens, `[n]`.
    """
    places = tokens[:, None] + np.arange(1 - WINDOW, 1)
    inside = places >= row_starts[:, None]
    return np.where(inside, token_ids[np.maximum(places, 0)], PADDING).astype(np.int32)
