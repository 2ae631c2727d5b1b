"""Single features as concepts: each with its name, the verdict on the name, and its contexts."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.dictionary.naming.subjects import subject_of
from saetask.dictionary.naming.telling_words import AFTER, BEFORE, N_EXAMPLES
from saetask.saes.concepts import Concept, ConceptKind

if TYPE_CHECKING:
    import pyarrow

COLUMNS = ("feature", "name", "name_source", "name_verdict", "name_words")
LOOKED_AT = 8
"""Maximum number of contexts of a feature among which examples are chosen."""
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
    counts = np.minimum(ends - starts, LOOKED_AT)
    shown = [place for start, n in zip(starts, counts) for place in range(start, start + n)]
    places = np.array(shown, np.int64)
    looked_at = iter(contexts.select(["tokens", "position"]).take(places).to_pylist())
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
            _examples([next(looked_at) for _ in range(n)]),
            subject_of(kind, source),
        )


def _examples(contexts: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Returns the texts around the firing tokens, on different ones, each between « and »."""
    examples: dict[str, str] = {}
    for context in contexts:
        tokens, place = context["tokens"], context["position"]
        token, low, high = tokens[place], max(place - BEFORE, 0), place + AFTER + 1
        if token in examples or any("<|" in piece for piece in tokens[low:high]):
            continue
        space = token[: len(token) - len(token.lstrip())]
        marked = [space, f"«{token.strip()}»"]
        text = "".join([*tokens[low:place], *marked, *tokens[place + 1 : high]])
        examples[token] = " ".join(text.split())
    return tuple(examples.values())[:N_EXAMPLES]
