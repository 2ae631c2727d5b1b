"""Association of features and predicates over the tokens of some documents."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float64
    from scipy.sparse import csc_matrix, csr_matrix


@dataclass(frozen=True)
class Association:
    """Counts of tokens: where a feature fires, where a predicate holds, where both are so."""

    both: "Float64[np.ndarray, 'd_sae n_predicates']"
    firing: "Float64[np.ndarray, 'd_sae 1']"
    holding: "Float64[np.ndarray, '*d_sae n_predicates']"
    """One row for all features, or a row each where predicates are their own."""
    n_tokens: int

    @property
    def recall(self) -> "Float64[np.ndarray, 'd_sae n_predicates']":
        """Share of a feature's firings at which the predicate holds."""
        return self.both / np.maximum(self.firing, 1)

    @property
    def precision(self) -> "Float64[np.ndarray, 'd_sae n_predicates']":
        """Share of the predicate's tokens on which the feature fires."""
        return self.both / np.maximum(self.holding, 1)

    @property
    def auroc(self) -> "Float64[np.ndarray, 'd_sae n_predicates']":
        """Area under the curve of the predicate as a classifier of firing and silent tokens.

        Of a yes-or-no classifier, the mean of sensitivity and specificity.
        """
        silent = self.n_tokens - self.firing
        false_positives = (self.holding - self.both) / np.maximum(silent, 1)
        return (self.recall + 1 - false_positives) / 2

    @property
    def lift(self) -> "Float64[np.ndarray, 'd_sae n_predicates']":
        """How many times more often the predicate holds at a feature's firings than anywhere."""
        return self.recall / np.maximum(self.holding / self.n_tokens, 1 / self.n_tokens)

    @property
    def odds_ratio(self) -> "Float64[np.ndarray, 'd_sae n_predicates']":
        """Odds that the predicate holds at a feature's firings, divided by those anywhere."""
        odds, base = (
            share / np.maximum(1 - share, 1e-12)
            for share in (self.recall, self.holding / self.n_tokens)
        )
        return odds / np.maximum(base, 1e-12)

    @property
    def information(self) -> "Float64[np.ndarray, 'd_sae n_predicates']":
        """Mutual information of firing and holding, in bits; negative where they avoid each other.

        (Cover and Thomas 2006, equation 2.28.)
        """
        n = self.n_tokens
        bits = np.zeros_like(self.both)
        for both, firing, holding in (
            (self.both, self.firing, self.holding),
            (self.firing - self.both, self.firing, n - self.holding),
            (self.holding - self.both, n - self.firing, self.holding),
            (n - self.firing - self.holding + self.both, n - self.firing, n - self.holding),
        ):
            share, expected = both / n, firing / n * (holding / n)
            possible = (share > 0) & (expected > 0)
            ratio = np.divide(share, expected, out=np.ones_like(share), where=possible)
            bits += share * np.log2(np.where(possible, ratio, 1))
        return np.where(self.lift >= 1, bits, -bits)

    @property
    def uncertainty_coefficient(self) -> "Float64[np.ndarray, 'd_sae n_predicates']":
        """Share of the uncertainty of a feature's firing that a predicate takes away, 0 to 1.

        (Theil 1970: mutual information divided by the entropy of the firing.) Zero where they avoid
        each other.
        """
        share = np.clip(self.firing / self.n_tokens, 1e-12, 1 - 1e-12)
        entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
        return np.maximum(self.information, 0) / np.maximum(entropy, 1e-12)


def associate(activations: "csr_matrix", holds: "csc_matrix") -> Association:
    """Counts on which tokens each feature fires and each predicate holds.

    Args:
        activations: Feature activations, `[n_tokens, d_sae]`.
        holds: Where predicates hold, `[n_tokens, n_predicates]`.
    """
    fires = activations.astype(bool).astype(np.float32)
    truth = holds.astype(np.float32)
    both = np.asarray((fires.T @ truth).todense(), dtype=float)
    firing = np.asarray(fires.sum(0), dtype=float).reshape(-1, 1)
    holding = np.asarray(truth.sum(0), dtype=float).reshape(1, -1)
    return Association(both, firing, holding, activations.get_shape()[0])
