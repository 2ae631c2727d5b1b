"""The dictionary's two tables: one row per feature, and the contexts that show each feature."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from saetask.data.corpus import TokenRow
from saetask.dictionary.collect.corpus_pass import CorpusPass
from saetask.dictionary.collect.neighbours import Neighbours
from saetask.dictionary.collect.statistics import (
    UNITS,
    FeatureStatistics,
    SampledActivations,
    bin_edges,
)
from saetask.dictionary.label.base import Label
from saetask.saes.logit_lens import Promotion
from saetask.utils.files import json_text

if TYPE_CHECKING:
    import pyarrow
    from jaxtyping import Float64, Int64

BEFORE, AFTER = 24, 8
"""Number of tokens shown before and after the token on which a feature fires."""
DECILES = 10
QUANTILES = (0.1, 0.5, 0.9, 0.99)
NAMED_TOKENS = 8
"""Number of frequent tokens and bigrams kept of each feature."""


class FeatureDescriptions(NamedTuple):
    """What is known of the features of an SAE beside their statistics."""

    labels: Sequence[Label]
    labeler: str
    """Name of the labeler."""
    promotions: Mapping[int, Promotion]
    by_direction: Neighbours
    by_coactivation: Neighbours


def features_table(
    corpus_pass: CorpusPass, descriptions: FeatureDescriptions, texts: list[str]
) -> "pyarrow.Table":
    """Returns one row per feature: label, statistics, promoted tokens, neighbours.

    Args:
        corpus_pass: Statistics of the features, and the rows that they were taken from.
        descriptions: Labels, promoted tokens and neighbours.
        texts: The text of every token of the vocabulary.
    """
    import pyarrow

    statistics, labels = corpus_pass.statistics, descriptions.labels
    promotions = [descriptions.promotions[feature] for feature in range(len(labels))]
    samples = [statistics.sample.of_feature(feature) for feature in range(len(labels))]
    columns: dict[str, Any] = {
        "feature": np.arange(len(labels), dtype=np.int32),
        "label": [label.text for label in labels],
        "labeler": [descriptions.labeler] * len(labels),
        "provenance": [
            json_text(dict(label.provenance), ascii_only=True, sort_keys=True) for label in labels
        ],
        "failed": [label.failed for label in labels],
        "density": statistics.count / max(statistics.n_tokens, 1),
        "mean": statistics.total / UNITS / np.maximum(statistics.count, 1),
        "maximum": statistics.maximum,
        "quantiles": _quantiles(statistics.histogram).tolist(),
        "histogram": statistics.histogram.tolist(),
        "tokens": [_frequent_ngrams(sample, corpus_pass.rows, texts, 1) for sample in samples],
        "bigrams": [_frequent_ngrams(sample, corpus_pass.rows, texts, 2) for sample in samples],
        "promoted": [promotion.promoted for promotion in promotions],
        "promoted_logits": [promotion.promoted_logits for promotion in promotions],
        "suppressed": [promotion.suppressed for promotion in promotions],
        "suppressed_logits": [promotion.suppressed_logits for promotion in promotions],
        "near_by_direction": descriptions.by_direction.features.tolist(),
        "near_by_direction_cosine": descriptions.by_direction.similarities.tolist(),
        "near_by_firing": descriptions.by_coactivation.features.tolist(),
        "near_by_firing_jaccard": descriptions.by_coactivation.similarities.tolist(),
    }
    return pyarrow.table(columns)


class ContextRow(NamedTuple):
    """A row of the contexts table."""

    feature: int
    kind: Literal["top", "decile"]
    """One of the strongest firings, or one of a decile of the sampled firings."""
    decile: int
    document: str
    tokens: list[str]
    position: int
    """Of the token on which the feature fires, among `tokens`."""
    activation: float


def contexts_table(corpus_pass: CorpusPass, texts: list[str]) -> "pyarrow.Table":
    """Returns the strongest contexts of every feature, and one of each decile of its firings."""
    import pyarrow

    rows: list[ContextRow] = []
    for feature in range(len(corpus_pass.statistics.count)):
        for chosen in _chosen_contexts(corpus_pass.statistics, feature):
            row, token = corpus_pass.rows[chosen.row], chosen.position
            start = max(0, token - BEFORE)
            tokens = [texts[i] for i in row.token_ids[start : token + AFTER + 1]]
            place = (row.document, tokens, token - start)
            rows.append(ContextRow(feature, chosen.kind, chosen.decile, *place, chosen.value))
    columns = zip(*rows) if rows else [()] * len(ContextRow._fields)
    return pyarrow.table({name: list(column) for name, column in zip(ContextRow._fields, columns)})


class _ChosenContext(NamedTuple):
    """A firing to be shown."""

    kind: Literal["top", "decile"]
    decile: int
    row: int
    position: int
    value: float


def _chosen_contexts(statistics: FeatureStatistics, feature: int) -> Iterator[_ChosenContext]:
    top = statistics.top.of_feature(feature)
    sample = statistics.sample.of_feature(feature)
    for row, position, value in zip(top.row, top.position, top.value):
        yield _ChosenContext("top", DECILES, int(row), int(position), float(value))
    order = np.argsort(sample.value, kind="stable")
    for decile, part in enumerate(np.array_split(order, DECILES)):
        if len(part):
            i = part[sample.rank[part].argmin()]
            place = (int(sample.row[i]), int(sample.position[i]), float(sample.value[i]))
            yield _ChosenContext("decile", decile, *place)


def _frequent_ngrams(
    sample: SampledActivations, rows: Sequence[TokenRow], texts: list[str], n: int
) -> list[dict[str, Any]]:
    """Returns the most frequent n-grams that end with a token on which the feature fires."""
    counts: dict[str, int] = {}
    for row, position in zip(sample.row.tolist(), sample.position.tolist()):
        token_ids = rows[row].token_ids[max(0, position - n + 1) : position + 1]
        ngram = "".join(texts[i] for i in token_ids)
        counts[ngram] = counts.get(ngram, 0) + 1
    frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:NAMED_TOKENS]
    return [{"text": text, "share": count / len(sample.row)} for text, count in frequent]


def median_activation(row: Mapping[str, Any]) -> float:
    """Returns a feature's median activation where it fires, from its row of the features table."""
    return row["quantiles"][QUANTILES.index(0.5)]


def _quantiles(
    histogram: "Int64[np.ndarray, 'd_sae N_BINS']",
) -> "Float64[np.ndarray, 'd_sae n_quantiles']":
    """Returns activations at the `QUANTILES` (lower edge of the bin)."""
    shares = histogram.cumsum(1) / np.maximum(histogram.sum(1, keepdims=True), 1)
    bins = np.stack([(shares < quantile).sum(1) for quantile in QUANTILES], axis=1)
    return bin_edges()[np.minimum(bins, histogram.shape[1] - 1)]
