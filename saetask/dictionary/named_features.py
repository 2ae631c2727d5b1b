"""Single features as concepts: each with its name, the verdict on the name, and its contexts."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.dictionary.naming.subjects import subject_of
from saetask.dictionary.naming.telling_words import AFTER, BEFORE, N_EXAMPLES
from saetask.saes.concepts import Concept, ConceptKind

if TYPE_CHECKING:
    import pyarrow

COLUMNS = ("feature", "name", "name_source", "name_verdict", "name_words")
KINDS: dict[str, ConceptKind] = {"on": "on", "before": "promotes"}
"""Kind of a concept by the relation of its name; any other relation is of words near by."""


def feature_concept_id(feature: int) -> str:
    """Returns the id of the concept that one feature is."""
    return f"feature:{feature}"


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
    counts = np.minimum(ends - starts, N_EXAMPLES)
    shown = [place for start, n in zip(starts, counts) for place in range(start, start + n)]
    examples = iter(
        contexts.select(["tokens", "position"]).take(shown).to_pylist() if shown else ()
    )
    for row, n in zip(rows, counts.tolist()):
        relation, _, source = row["name_source"].partition(":")
        kind = KINDS.get(relation, "near")
        yield Concept(
            feature_concept_id(row["feature"]),
            row["name"],
            kind,
            (row["feature"],),
            (1.0,),
            row["name_verdict"],
            tuple(row["name_words"] or ()),
            tuple(_marked(next(examples)) for _ in range(n)),
            subject_of(kind, source),
        )


def _marked(context: dict[str, Any]) -> str:
    """Returns the text around the firing token, which stands between « and »."""
    tokens, place = context["tokens"], context["position"]
    token = tokens[place]
    space = token[: len(token) - len(token.lstrip())]
    before = tokens[max(place - BEFORE, 0) : place]
    text = "".join([*before, space, f"«{token.strip()}»", *tokens[place + 1 : place + 1 + AFTER]])
    return " ".join(text.split())
