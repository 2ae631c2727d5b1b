"""Contexts in which a feature fires or is silent: examples to make a label from, or to test it."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.dictionary.collect.neighbours import Neighbours
from saetask.dictionary.collect.work_folder import load_activations
from saetask.saes.activations import TokenActivations

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Int, Int32, Int64

WINDOW = 24
"""Length of a context in tokens: the token in question and those before it."""
PADDING = -1
STRONG = 0.8
"""Quantile of a feature's activations from which on a firing counts as strong."""
SILENT_PER_FIRING = 4


class Examples(NamedTuple):
    """Contexts of one feature, each ending with the token in question."""

    windows: "Int32[np.ndarray, 'n WINDOW']"
    """Token ids; `PADDING` before the beginning of a row."""
    activations: "Float32[np.ndarray, ' n']"
    """The feature's activation on the last token; zero where it is silent."""
    firing: "Bool[np.ndarray, ' n']"
    """True where the feature fires strongly."""
    hard: "Bool[np.ndarray, ' n']"
    """True where the feature is silent and the context was chosen to resemble firing ones."""

    @property
    def silent(self) -> "Bool[np.ndarray, ' n']":
        """True where the feature does not fire; contexts that fire weakly are neither."""
        return self.activations == 0


class FiringAndSilentTokens(NamedTuple):
    """Tokens drawn for a feature, by what it does on them."""

    firing: "Int64[np.ndarray, ' n']"
    """Of all strengths."""
    hard: "Int64[np.ndarray, ' m']"
    """Silent, and chosen to resemble firing ones."""
    random: "Int64[np.ndarray, ' k']"
    """Silent."""


class FiringCounts(NamedTuple):
    """Number of tokens on which each feature fires."""

    strong: "Int64[np.ndarray, ' d_sae']"
    weak: "Int64[np.ndarray, ' d_sae']"


def strong_floors(activations: TokenActivations) -> "Float32[np.ndarray, ' d_sae']":
    """Returns the lowest activation of each feature that counts as strong.

    Args:
        activations: What the quantiles are taken from; must hold no test document.
    """
    by_feature = activations.matrix().tocsc()
    values = np.split(by_feature.data, by_feature.indptr[1:-1])
    return np.array([np.quantile(v, STRONG) if len(v) else 0 for v in values], np.float32)


class ActivationIndex:
    """Token activations indexed by feature and by token, to draw contexts from.

    Attributes:
        activations: The activations.
        floors: Lowest activation of each feature that counts as strong, `[d_sae]`.
        neighbours: The nearest other feature of each, `[d_sae]`; hard silent contexts are drawn
            from its tokens.
    """

    def __init__(
        self,
        activations: TokenActivations,
        floors: "Float32[np.ndarray, ' d_sae']",
        neighbours: "Int[np.ndarray, ' d_sae']",
    ) -> None:
        self.activations, self.floors, self.neighbours = activations, floors, neighbours
        self._by_feature = activations.matrix().tocsc()
        self._usable = np.diff(activations.indptr) > 0
        order = np.argsort(activations.token_ids, kind="stable")
        self._by_token = order[self._usable[order]]

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return self.activations.d_sae

    @cached_property
    def _sorted_tokens(self) -> np.ndarray:
        return self.activations.token_ids[self._by_token]

    @cached_property
    def _usable_tokens(self) -> np.ndarray:
        return np.flatnonzero(self._usable)

    @cached_property
    def _rows(self) -> np.ndarray:
        return self.activations.token_rows()

    def tokens_firing(self, feature: int) -> "Int[np.ndarray, ' n']":
        """Returns the tokens on which a feature fires, ascending."""
        low, high = self._by_feature.indptr[[feature, feature + 1]]
        return np.sort(self._by_feature.indices[low:high])

    def tokens_firing_strongly(self, feature: int) -> "Int[np.ndarray, ' n']":
        """Returns the tokens on which a feature fires strongly, ascending."""
        tokens = self.tokens_firing(feature)
        return tokens[self.values_at(feature, tokens) >= self.floors[feature]]

    def firing_counts(self) -> FiringCounts:
        """Returns the number of tokens on which each feature fires strongly and weakly."""
        features = self.activations.features
        strong = self.activations.values >= self.floors[features]
        return FiringCounts(
            np.bincount(features[strong], minlength=self.d_sae),
            np.bincount(features[~strong], minlength=self.d_sae),
        )

    def values_at(
        self, feature: int, tokens: "Int[np.ndarray, ' n']"
    ) -> "Float32[np.ndarray, ' n']":
        """Returns a feature's activation on some tokens, zero where it is silent."""
        low, high = self._by_feature.indptr[[feature, feature + 1]]
        values = np.zeros(len(self.activations.token_ids), np.float32)
        values[self._by_feature.indices[low:high]] = self._by_feature.data[low:high]
        return values[tokens]

    def draw(self, feature: int, n_firing: int, seed: Sequence[int]) -> Examples:
        """Draws strongly and weakly firing contexts, one per row, and silent ones.

        There are `SILENT_PER_FIRING` silent contexts for each strongly firing one. One of them is
        hard: half of those end with a token on which the feature fires elsewhere, half with one
        on which its nearest neighbour fires. The others are random. The result depends on the
        seed and the feature only, not on earlier draws.

        Args:
            feature: The feature.
            n_firing: Maximum number of strongly and of weakly firing contexts.
            seed: Seed of the draw.
        """
        generator = np.random.default_rng([*seed, feature])
        anywhere = self.tokens_firing(feature)
        strong = self.tokens_firing_strongly(feature)
        firing, weak = (
            self._one_per_row(generator.permutation(tokens))[:n_firing]
            for tokens in (strong, np.setdiff1d(anywhere, strong))
        )
        n = len(firing)
        same_token = self._usable_occurrences(np.unique(self.activations.token_ids[firing]))
        near = self.tokens_firing(int(self.neighbours[feature]))
        hard = np.concatenate(
            [
                generator.permutation(np.setdiff1d(pool, anywhere))[:size]
                for pool, size in ((same_token, n // 2), (near, n - n // 2))
            ]
        )
        n_silent = SILENT_PER_FIRING * n
        random = np.setdiff1d(generator.choice(self._usable_tokens, 2 * n_silent + 8), anywhere)
        random = generator.permutation(random)[: n_silent - len(hard)]
        kinds = np.repeat(np.arange(4), [n, len(weak), len(hard), len(random)])
        tokens = np.concatenate([firing, weak, hard, random]).astype(np.int64)
        return Examples(
            self.windows(tokens), self.values_at(feature, tokens), kinds == 0, kinds == 2
        )

    def draw_silent(
        self, feature: int, n_firing: int, seed: Sequence[int]
    ) -> FiringAndSilentTokens:
        """Draws firing tokens of all strengths, and as many silent ones, half of them hard.

        Args:
            feature: The feature.
            n_firing: Maximum number of firing tokens.
            seed: Seed of the draw.
        """
        generator = np.random.default_rng([*seed, feature])
        anywhere = self.tokens_firing(feature)
        firing = generator.permutation(anywhere)[:n_firing]
        half = (len(firing) + 1) // 2
        same_token = self._usable_occurrences(np.unique(self.activations.token_ids[firing]))
        near = self.tokens_firing(int(self.neighbours[feature]))
        hard = [
            generator.permutation(np.setdiff1d(pool, anywhere))[: (half + 1) // 2]
            for pool in (same_token, near)
        ]
        random = np.setdiff1d(generator.choice(self._usable_tokens, 2 * half + 8), anywhere)
        return FiringAndSilentTokens(
            firing, np.concatenate(hard), generator.permutation(random)[:half]
        )

    def windows(self, tokens: "Int[np.ndarray, ' n']") -> "Int32[np.ndarray, 'n WINDOW']":
        """Returns the contexts that end with the given tokens."""
        row_starts = self.activations.row_starts[self._rows[tokens]]
        return cut_windows(self.activations.token_ids, row_starts, tokens)

    def n_rows(self, tokens: "Int[np.ndarray, ' n']") -> int:
        """Returns the number of different rows that hold the given tokens."""
        return len(np.unique(self._rows[tokens]))

    def _one_per_row(self, tokens: np.ndarray) -> np.ndarray:
        _, first = np.unique(self._rows[tokens], return_index=True)
        return tokens[np.sort(first)]

    def _usable_occurrences(self, token_ids: np.ndarray) -> np.ndarray:
        """Returns the positions, on which any feature fires, of the given vocabulary entries."""
        lows = np.searchsorted(self._sorted_tokens, token_ids)
        highs = np.searchsorted(self._sorted_tokens, token_ids, side="right")
        return np.concatenate(
            [self._by_token[low:high] for low, high in zip(lows, highs)] or [np.empty(0, np.int64)]
        )


def cut_windows(
    token_ids: "Int[np.ndarray, ' n_tokens']",
    row_starts: "Int[np.ndarray, ' n']",
    tokens: "Int[np.ndarray, ' n']",
) -> "Int32[np.ndarray, 'n WINDOW']":
    """Returns the context that ends with each token, padded at the beginning of its row.

    Args:
        token_ids: Rows one after another.
        row_starts: Where the row of each wanted token begins.
        tokens: Positions of the wanted tokens in `token_ids`.
    """
    places = tokens[:, None] + np.arange(1 - WINDOW, 1)
    inside = places >= row_starts[:, None]
    return np.where(inside, token_ids[np.maximum(places, 0)], PADDING).astype(np.int32)


class SplitActivations(NamedTuple):
    """Activations of one SAE (the described one or its control) on each split of documents."""

    learning: ActivationIndex
    """Build documents: labels are made from them."""
    selection: ActivationIndex
    """Held-out documents on which labels are chosen."""
    test: ActivationIndex
    """Held-out documents on which labels are validated."""


def load_split_activations(folder: Path, name: str, directions: Neighbours) -> SplitActivations:
    """Reads the activations that a build has kept.

    Args:
        folder: The dictionary's folder.
        name: The SAE (`DESCRIBED`) or its `CONTROL`.
        directions: Nearest features by direction.

    Raises:
        UserError: The folder's `work/` is gone.
    """
    activations = load_activations(folder, name, len(directions.features))
    floors = strong_floors(activations["train"])
    nearest = directions.features[:, 0]
    learning, selection, test = (
        ActivationIndex(activations[split], floors, nearest)
        for split in ("train", "selection", "test")
    )
    return SplitActivations(learning, selection, test)
