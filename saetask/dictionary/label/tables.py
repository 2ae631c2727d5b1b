"""The dictionary's two tables: one row a feature, and the contexts that show it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.data.corpus import TokenRow
from saetask.dictionary.collect.neighbours import Neighbours
from saetask.dictionary.collect.statistics import (
    UNITS,
    FeatureStatistics,
    SampledActivations,
    bin_edges,
)
from saetask.dictionary.label.base import Label
from saetask.saes.logit_lens import Promotion

if TYPE_CHECKING:
    import pyarrow

BEFORE, AFTER = 24, 8
"""Tokens shown before and after the token on which a feature fires."""
DECILES = 10
QUANTILES = (0.1, 0.5, 0.9, 0.99)
NAMED_TOKENS = 8


def features_table(
    tally: FeatureStatistics,
    labels: Sequence[Label],
    labeler: str,
    promotions: dict[int, Promotion],
    directions: Neighbours,
    together: Neighbours,
    rows: Sequence[TokenRow],
    texts: list[str],
) -> "pyarrow.Table":
    """Returns one row a feature: statistics, label, neighbours."""
    import pyarrow

    fired = np.maximum(tally.count, 1)
    tokens = [_frequent(tally.sample.of(f), rows, texts, 1) for f in range(len(labels))]
    pairs = [_frequent(tally.sample.of(f), rows, texts, 2) for f in range(len(labels))]
    columns: dict[str, Any] = {
        "feature": np.arange(len(labels), dtype=np.int32),
        "label": [label.text for label in labels],
        "labeler": [labeler] * len(labels),
        "provenance": [json.dumps(dict(label.provenance), sort_keys=True) for label in labels],
        "failed": [label.failed for label in labels],
        "density": tally.count / max(tally.n_tokens, 1),
        "mean": tally.total / UNITS / fired,
        "maximum": tally.maximum,
        "quantiles": _quantiles(tally.histogram).tolist(),
        "histogram": tally.histogram.tolist(),
        "tokens": tokens,
        "bigrams": pairs,
        "promoted": [promotions[f].promoted for f in range(len(labels))],
        "promoted_logits": [promotions[f].promoted_logits for f in range(len(labels))],
        "suppressed": [promotions[f].suppressed for f in range(len(labels))],
        "suppressed_logits": [promotions[f].suppressed_logits for f in range(len(labels))],
        "near_by_direction": directions.features.tolist(),
        "near_by_direction_cosine": directions.similarities.tolist(),
        "near_by_firing": together.features.tolist(),
        "near_by_firing_jaccard": together.similarities.tolist(),
    }
    return pyarrow.table(columns)


def contexts_table(
    tally: FeatureStatistics, rows: Sequence[TokenRow], texts: list[str]
) -> "pyarrow.Table":
    """Returns the strongest contexts of every feature and one of each decile of its firings."""
    import pyarrow

    chosen = [
        (feature, kind, decile, *_window(rows[row], position, texts), float(value))
        for feature in range(len(tally.count))
        for kind, decile, row, position, value in _chosen(tally, feature)
    ]
    names = ("feature", "kind", "decile", "document", "tokens", "position", "activation")
    columns = zip(*chosen) if chosen else [()] * len(names)
    return pyarrow.table({name: list(column) for name, column in zip(names, columns)})


def _chosen(tally: FeatureStatistics, feature: int) -> Iterator[tuple[str, int, int, int, float]]:
    top, sample = tally.top.of(feature), tally.sample.of(feature)
    for row, position, value in zip(top.row, top.position, top.value):
        yield "top", DECILES, int(row), int(position), float(value)
    order = np.argsort(sample.value, kind="stable")
    for decile, part in enumerate(np.array_split(order, DECILES)):
        if len(part):
            i = part[sample.rank[part].argmin()]
            yield (
                "decile",
                decile,
                int(sample.row[i]),
                int(sample.position[i]),
                float(sample.value[i]),
            )


def _window(row: TokenRow, position: int, texts: list[str]) -> tuple[str, list[str], int]:
    """Returns the document, the tokens about a position, and the position among them."""
    start = max(0, position - BEFORE)
    token_ids = row.token_ids[start : position + AFTER + 1]
    return row.document, [texts[i] for i in token_ids], position - start


def _frequent(
    sample: SampledActivations, rows: Sequence[TokenRow], texts: list[str], n: int
) -> list[dict[str, Any]]:
    """Returns the most frequent n-grams that end with the token of the sampled firings."""
    grams: dict[str, int] = {}
    for row, position in zip(sample.row.tolist(), sample.position.tolist()):
        token_ids = rows[row].token_ids[max(0, position - n + 1) : position + 1]
        gram = "".join(texts[i] for i in token_ids)
        grams[gram] = grams.get(gram, 0) + 1
    frequent = sorted(grams.items(), key=lambda item: (-item[1], item[0]))[:NAMED_TOKENS]
    return [{"text": text, "share": count / len(sample.row)} for text, count in frequent]


def median_activation(row: Mapping[str, Any]) -> float:
    """Returns a feature's median activation where it fires, from its row of the features table."""
    return row["quantiles"][QUANTILES.index(0.5)]


def _quantiles(histogram: np.ndarray) -> np.ndarray:
    """Returns activations at the `QUANTILES` (lower edge of the bin), `[d_sae, 4]`."""
    shares = histogram.cumsum(1) / np.maximum(histogram.sum(1, keepdims=True), 1)
    bins = np.stack([(shares < quantile).sum(1) for quantile in QUANTILES], axis=1)
    return bin_edges()[np.minimum(bins, histogram.shape[1] - 1)]
