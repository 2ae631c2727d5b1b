"""Single features as concepts: each with its name, the verdict on the name, and its contexts."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.dictionary.naming.battery import KINDS
from saetask.dictionary.naming.subjects import subject_of
from saetask.dictionary.naming.telling_words import AFTER, BEFORE, Window, marked_examples
from saetask.saes.concepts import Concept, feature_concept

if TYPE_CHECKING:
    import pyarrow

COLUMNS = ("feature", "name", "name_source", "name_verdict", "name_words")
LOOKED_AT = 8
"""Maximum number of contexts of a feature among which examples are chosen."""


def named_features(features: "pyarrow.Table", contexts: "pyarrow.Table") -> Iterator[Concept]:
    """Yields the features that have a name, as concepts of one feature.

    Args:
        features: A dictionary's table of features; those of one that was not named yield nothing.
        contexts: Its table of contexts, by feature, the strongest first.
    """
    if not set(COLUMNS) <= set(features.column_names):
        return
    owners = np.asarray(contexts["feature"])
    rows = [row for row in features.select(COLUMNS).to_pylist() if row["name"]]
    numbers = [row["feature"] for row in rows]
    starts, ends = np.searchsorted(owners, [numbers, [n + 1 for n in numbers]])
    counts = np.minimum(ends - starts, LOOKED_AT)
    shown = [place for start, n in zip(starts, counts) for place in range(start, start + n)]
    places = np.array(shown, np.int64)
    looked_at = iter(contexts.select(["tokens", "position"]).take(places).to_pylist())
    for row, n in zip(rows, counts.tolist()):
        relation, _, source = row["name_source"].partition(":")
        kind = KINDS.get(relation, "on")  # a reader tells no relation
        yield feature_concept(row["feature"], row["name"])._replace(
            kind=kind,
            verdict=row["name_verdict"],
            words=tuple(row["name_words"] or ()),
            examples=marked_examples(_window(next(looked_at)) for _ in range(n)),
            subject=subject_of(kind, source),
        )


def _window(context: dict[str, Any]) -> Window:
    tokens, place = context["tokens"], context["position"]
    low = max(place - BEFORE, 0)
    return Window(tokens[low : place + AFTER + 1], place - low, tokens[place])
