"""Firing and silent contexts of a feature: to learn what it is about, or to test that."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from saetask.saes.activations import TokenActivations

WINDOW = 24
"""Tokens of a context: the token in question and those before it."""
PADDING = -1
STRONG = 0.8
"""Quantile of a feature's activations from which on it is said to fire strongly."""
SILENT_PER_FIRING = 4


class Examples(NamedTuple):
    """Contexts of one feature, each ending with the token in question."""

    windows: np.ndarray
    """Token ids, `[n, WINDOW]`, int32; `PADDING` before a row's beginning."""
    activations: np.ndarray
    """The feature's activation on the last token, `[n]`, float32; zero where it is silent."""
    firing: np.ndarray
    """Does it fire strongly? `[n]`, bool."""
    hard: np.ndarray
    """Silent, but chosen to look alike, `[n]`, bool."""

    @property
    def silent(self) -> np.ndarray:
        """Does it not fire at all? `[n]`, bool; contexts that fire weakly are neither."""
        return self.activations == 0


def strong_floors(firings: TokenActivations) -> np.ndarray:
    """Returns the activation from which on each feature fires strongly, `[d_sae]`, float32.

    Args:
        firings: The firings that the quantiles are taken from; none of a test document.
    """
    by_feature = firings.matrix().tocsc()
    values = np.split(by_feature.data, by_feature.indptr[1:-1])
    return np.array([np.quantile(v, STRONG) if len(v) else 0 for v in values], np.float32)


class ActivationIndex:
    """TokenActivations, indexed by feature and by token.

    Attributes:
        firings: The firings.
        floors: From which activation on each feature fires strongly, `[d_sae]`.
    """

    def __init__(self, firings: TokenActivations, floors: np.ndarray) -> None:
        self.firings = firings
        self.floors = floors
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

    def tokens_firing_strongly(self, feature: int) -> np.ndarray:
        """Returns the tokens on which a feature fires strongly, ascending."""
        tokens = self.tokens_firing(feature)
        return tokens[self.activations(feature, tokens) >= self.floors[feature]]

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns how often each feature fires strongly, and how often weakly, `[d_sae]` each."""
        strong = self.firings.values >= self.floors[self.firings.features]
        found = (self.firings.features[chosen] for chosen in (strong, ~strong))
        often, rest = (np.bincount(f, minlength=self.firings.d_sae) for f in found)
        return often, rest

    def activations(self, feature: int, tokens: np.ndarray) -> np.ndarray:
        """Returns a feature's activation on some tokens, zero where it is silent, `[n]`."""
        low, high = self._by_feature.indptr[[feature, feature + 1]]
        found = np.zeros(len(self.firings.token_ids), np.float32)
        found[self._by_feature.indices[low:high]] = self._by_feature.data[low:high]
        return found[tokens]

    def draw(self, feature: int, neighbour: int, n_firing: int, seed: Sequence[int]) -> Examples:
        """Draws strongly and weakly firing contexts, one a row, and silent ones.

        For each strongly firing one there are `SILENT_PER_FIRING` silent ones. One of them is hard:
        half of those on a token on which the feature fires elsewhere, half where its neighbour
        fires; the others are random.
        The same are drawn for the same seed, whatever else was drawn.
        """
        generator = np.random.default_rng([*seed, feature])
        anywhere = self.tokens_firing(feature)
        strong = self.tokens_firing_strongly(feature)
        firing, weak = (
            self._one_a_row(generator.permutation(tokens))[:n_firing]
            for tokens in (strong, np.setdiff1d(anywhere, strong))
        )
        n = len(firing)
        alike = self._same_token(np.unique(self.firings.token_ids[firing]))
        near = self.tokens_firing(neighbour)
        hard = np.concatenate(
            [
                generator.permutation(np.setdiff1d(pool, anywhere))[:size]
                for pool, size in ((alike, n // 2), (near, n - n // 2))
            ]
        )
        n_silent = SILENT_PER_FIRING * n
        random = np.setdiff1d(generator.choice(self._usable_tokens, 2 * n_silent + 8), anywhere)
        random = generator.permutation(random)[: n_silent - len(hard)]
        kinds = np.repeat(np.arange(4), [n, len(weak), len(hard), len(random)])
        tokens = np.concatenate([firing, weak, hard, random]).astype(np.int64)
        return Examples(
            self.windows(tokens), self.activations(feature, tokens), kinds == 0, kinds == 2
        )

    def windows(self, tokens: np.ndarray) -> np.ndarray:
        """Returns the contexts that end with the given tokens, `[n, WINDOW]`."""
        return cut_windows(
            self.firings.token_ids, self.firings.row_starts[self._rows[tokens]], tokens
        )

    def n_rows(self, tokens: np.ndarray) -> int:
        """Returns in how many rows the given tokens are."""
        return len(np.unique(self._rows[tokens]))

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
