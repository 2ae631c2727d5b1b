"""Sparse feature activations, of prompts and of token rows.

A firing is one feature active on one token.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.data.prompts import Span
from saetask.data.rendering import RenderedPrompt
from saetask.errors import UserError

if TYPE_CHECKING:
    import pandas
    from scipy.sparse import csr_matrix


SHOWN = 5
"""Number of firings that the plain text of activations shows."""


class Firing(NamedTuple):
    """One feature active on one token."""

    item: int
    """Index of the prompt."""
    token: int
    """Index of the token in its prompt."""
    span: Span
    """The token's characters in the rendered text."""
    text: str
    feature: int
    value: float
    """The activation."""
    label: str = ""
    """What the feature is about, where labels were given; see `with_labels`."""
    name: str = ""
    """The named concept that the feature stands for, where names were given and it has one."""


@dataclass(frozen=True, repr=False)
class FeatureActivations:
    """The feature activations of a batch of prompts, sparse (CSR over all tokens)."""

    prompts: Sequence[RenderedPrompt]
    d_sae: int
    """Number of features of the SAE."""
    indptr: np.ndarray
    """Index of each token's first firing, `[n_tokens + 1]`, prompts one after another, int64."""
    features: np.ndarray
    """Feature of each firing, `[n_firings]`, int32."""
    values: np.ndarray
    """Activation of each firing, `[n_firings]`, float32; negative only where an SAE's features
    have two directions (AbsTopK)."""
    labels: Mapping[int, str] = field(default_factory=dict, repr=False)
    """Labels of features, for tables and displays; see `Dictionary.names`."""
    names: Mapping[int, str] = field(default_factory=dict, repr=False)
    """Names of the features that have one; see `Dictionary.concept_names`."""

    def __len__(self) -> int:
        return len(self.prompts)

    def __repr__(self) -> str:
        """Returns the amounts, and the strongest firings, a line each."""
        n_active, strongest = len(np.unique(self.features)), self.top(SHOWN)
        lines = [
            f"FeatureActivations: {len(self)} prompt{'s' * (len(self) != 1)}, "
            f"{len(self.indptr) - 1:,} tokens, "
            f"{len(self.features):,} firings of {n_active:,} of {self.d_sae:,} features"
        ]
        width = max((len(repr(firing.text)) for firing in strongest), default=0)
        lines += [
            f"  {firing.feature:>6}  {firing.value:>8.2f}  {firing.text!r:<{width}}  "
            f"{firing.name or firing.label}"
            for firing in strongest
        ]
        return "\n".join(line.rstrip() for line in lines)

    def __getitem__(self, item: int) -> "FeatureActivations":
        """Returns the activations of one prompt."""
        item = range(len(self))[item]
        first, last = self._first_tokens()[[item, item + 1]]
        low, high = self.indptr[[first, last]]
        return FeatureActivations(
            [self.prompts[item]],
            self.d_sae,
            self.indptr[first : last + 1] - low,
            self.features[low:high],
            self.values[low:high],
            self.labels,
            self.names,
        )

    def with_labels(
        self, labels: Mapping[int, str], names: Mapping[int, str] | None = None
    ) -> "FeatureActivations":
        """Returns the same activations with labels of their features.

        Args:
            labels: What each feature is about, such as `Dictionary.names`.
            names: Names of the features that have one, such as `Dictionary.concept_names`; None
                leaves them as they are.
        """
        return replace(self, labels=labels, names=self.names if names is None else names)

    def restricted(self, features: np.ndarray) -> "FeatureActivations":
        """Returns the firings of some features alone.

        Args:
            features: Their indices, `[k]`.
        """
        kept = np.isin(self.features, features)
        indptr = np.concatenate([[0], np.cumsum(kept)])[self.indptr]
        return replace(self, indptr=indptr, features=self.features[kept], values=self.values[kept])

    def to_pandas(self) -> "pandas.DataFrame":
        """Returns the firings as a table, a row each; `start` and `end` are the token's span.

        `label` and `name` are empty where none were given; see `with_labels`.
        """
        import pandas

        rows = [(f.item, f.token, *f.span, *f[3:]) for f in self.firings()]
        names = ["item", "token", "start", "end", "text", "feature", "value", "label", "name"]
        return pandas.DataFrame(rows, columns=names)

    def _first_tokens(self) -> np.ndarray:
        return np.cumsum([0, *(len(p.token_ids) for p in self.prompts)])

    def firings(self) -> Iterator[Firing]:
        """Yields every firing, ordered by item and token."""
        position = 0
        for item, prompt in enumerate(self.prompts):
            for token, span in enumerate(prompt.token_spans):
                for i in range(self.indptr[position], self.indptr[position + 1]):
                    text = prompt.text[span.start : span.end]
                    feature, value = int(self.features[i]), float(self.values[i])
                    label, name = (each.get(feature, "") for each in (self.labels, self.names))
                    yield Firing(item, token, span, text, feature, value, label, name)
                position += 1

    def top(self, k: int = 10, region: str | None = None) -> list[Firing]:
        """Returns the k strongest firings, of each feature in each item the strongest only.

        Args:
            k: Maximum number of firings.
            region: A named region of the prompts, such as `text`; None takes all tokens.

        Raises:
            UserError: A prompt has no region of that name.
        """
        best: dict[tuple[int, int], Firing] = {}
        for firing in self.firings():
            prompt = self.prompts[firing.item]
            if region is not None and not firing.span.overlaps(_region(prompt, region)):
                continue
            key = (firing.item, firing.feature)
            if key not in best or abs(firing.value) > abs(best[key].value):
                best[key] = firing
        return sorted(best.values(), key=lambda firing: -abs(firing.value))[:k]

    def at(self, span: Span, item: int = 0) -> list[Firing]:
        """Returns an item's firings on the tokens that overlap a range of its rendered text."""
        return [f._replace(item=item) for f in self[item].firings() if f.span.overlaps(span)]

    def pooled(self, region: str | None = None) -> "csr_matrix":
        """Returns each item's activation of largest magnitude over tokens, by feature.

        Args:
            region: A named region of the prompts; None pools over all tokens.

        Returns:
            `[n_items, d_sae]`, float32.

        Raises:
            UserError: A prompt has no region of that name.
        """
        from scipy.sparse import csr_matrix

        counts = np.diff(self.indptr)
        token_items = np.repeat(np.arange(len(self)), [len(p.token_ids) for p in self.prompts])
        chosen = np.ones(len(counts), dtype=bool)
        if region is not None:
            chosen[:] = False
            for first, prompt in zip(self._first_tokens(), self.prompts):
                chosen[[first + t for t in prompt.tokens_in(_region(prompt, region))]] = True
        kept = np.repeat(chosen, counts)
        keys = np.repeat(token_items, counts)[kept] * self.d_sae + self.features[kept]
        order = np.argsort(keys, kind="stable")
        unique, starts = np.unique(keys[order], return_index=True)
        values = self.values[kept][order]
        pooled = values
        if len(starts):
            most, least = (f.reduceat(values, starts) for f in (np.maximum, np.minimum))
            pooled = np.where(most >= -least, most, least)
        positions = (unique // self.d_sae, unique % self.d_sae)
        return csr_matrix((pooled, positions), shape=(len(self), self.d_sae))

    def density(self, items: Sequence[int]) -> np.ndarray:
        """Returns the number of tokens of some items on which each feature fires, `[d_sae]`."""
        counts = np.zeros(self.d_sae, dtype=np.int64)
        for item in items:
            counts += np.bincount(self[item].features, minlength=self.d_sae)
        return counts

    def _repr_html_(self) -> str:
        """Returns the prompts as HTML, each token shaded by its strongest activation."""
        peak = float(np.abs(self.values).max(initial=1e-9))
        rows = []
        for item, prompt in enumerate(self.prompts):
            by_token: dict[int, list[Firing]] = {}
            for firing in self[item].firings():
                by_token.setdefault(firing.token, []).append(firing)
            rows.append(_shaded_text(prompt, by_token, peak))
        return "".join(f"<p style='line-height:1.9;font-family:monospace'>{r}</p>" for r in rows)


def _region(prompt: RenderedPrompt, name: str) -> Span:
    if name not in prompt.regions:
        known = ", ".join(prompt.regions)
        raise UserError(f"The prompt {prompt.text[:40]!r} has no region '{name}'; it has: {known}.")
    return prompt.regions[name]


def _shaded_text(prompt: RenderedPrompt, by_token: dict[int, list[Firing]], peak: float) -> str:
    parts, cursor = [], 0
    for token, span in enumerate(prompt.token_spans):
        if span.end <= cursor:
            continue
        parts.append(html.escape(prompt.text[cursor : span.start]))
        strongest = sorted(by_token.get(token, []), key=lambda f: -abs(f.value))[:5]
        shade = (abs(strongest[0].value) / peak) ** 0.5 if strongest else 0.0
        named = (f"feature {f.feature}: {f.value:.2f} {f.name or f.label}" for f in strongest)
        title = "&#10;".join(html.escape(name.rstrip(), quote=True) for name in named)
        word = html.escape(prompt.text[max(span.start, cursor) : span.end]).replace("\n", "↵<br>")
        parts.append(
            f"<span title='{title}' style='background:rgba(255,140,0,{shade:.2f})'>{word}</span>"
        )
        cursor = span.end
    return "".join(parts) + html.escape(prompt.text[cursor:])


@dataclass(frozen=True)
class TokenActivations:
    """The firings of one SAE on rows of tokens (CSR over all tokens)."""

    token_ids: np.ndarray
    """Rows one after another, `[n_tokens]`, int32."""
    row_starts: np.ndarray
    """Index of each row's first token, `[n_rows + 1]`, int64."""
    documents: np.ndarray
    """Hash of each row's document, `[n_rows]`, uint64."""
    indptr: np.ndarray
    """Index of each token's first firing, `[n_tokens + 1]`, int64."""
    features: np.ndarray
    """Feature of each firing, `[n_firings]`, int32."""
    values: np.ndarray
    """Activation of each firing, `[n_firings]`, float32, positive."""
    d_sae: int
    """Number of features of the SAE."""

    def rows(self, first: int, last: int) -> "TokenActivations":
        """Returns the firings on the rows from `first` to before `last`."""
        low, high = self.row_starts[[first, last]]
        start, end = self.indptr[[low, high]]
        return TokenActivations(
            self.token_ids[low:high],
            self.row_starts[first : last + 1] - low,
            self.documents[first:last],
            self.indptr[low : high + 1] - start,
            self.features[start:end],
            self.values[start:end],
            self.d_sae,
        )

    def matrix(self) -> "csr_matrix":
        """Returns the activations as a sparse matrix, `[n_tokens, d_sae]`, float32."""
        from scipy.sparse import csr_matrix

        shape = (len(self.token_ids), self.d_sae)
        return csr_matrix((self.values, self.features, self.indptr), shape=shape)

    def token_rows(self) -> np.ndarray:
        """Returns the index of each token's row, `[n_tokens]`, int64."""
        return np.repeat(np.arange(len(self.documents)), np.diff(self.row_starts))
