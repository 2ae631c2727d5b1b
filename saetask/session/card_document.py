"""The card of a feature or a concept as a JSON document, for the card view."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from saetask.dictionary.dictionary import Dictionary
from saetask.dictionary.store import CONCEPTS, read_parquet
from saetask.errors import UserError
from saetask.session.reading_document import feature_rows

MOST_FEATURES = 40
"""Features of a concept that its card lists."""


def feature_card(dictionary: Dictionary, number: int) -> dict[str, Any]:
    """Returns the card of a feature: its row, its contexts, and the names of its neighbours.

    Raises:
        UserError: No such feature.
    """
    card = dictionary.feature(number)
    near = {by: dictionary.neighbours(number, by) for by in ("direction", "firing")}
    return {
        "row": dict(card.row),
        "contexts": card.contexts,
        "near": {by: feature_rows(each, dictionary) for by, each in near.items()},
        "concepts": [
            {"id": concept.id, "name": concept.name, "verdict": concept.verdict}
            for concept in dictionary.concepts()
            if number in concept.features
        ],
    }


def concept_card(dictionary: Dictionary, name: str) -> dict[str, Any]:
    """Returns the card of a concept: its row, with its heaviest features.

    Args:
        dictionary: The dictionary.
        name: Id of the concept.

    Raises:
        UserError: No such concept.
    """
    rows = concept_rows(dictionary)
    if name not in rows:
        raise UserError(f"The dictionary has no concept '{name}'.")
    row = rows[name]
    pairs = sorted(zip(row["weights"], row["features"]), reverse=True)[:MOST_FEATURES]
    listed = feature_rows([feature for _, feature in pairs], dictionary)
    features = [{**each, "weight": weight} for each, (weight, _) in zip(listed, pairs)]
    return {**concept_summary(row), "features": features}


def concept_summary(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a row of the concepts table with the number of its features in their place."""
    kept = {name: value for name, value in row.items() if name not in ("features", "weights")}
    return kept | {"n_features": len(row["features"])}


def concept_rows(dictionary: Dictionary) -> dict[str, dict[str, Any]]:
    """Returns the rows of the concepts table by id; none where nothing was named."""
    return _read_rows(dictionary.folder / CONCEPTS)


@lru_cache(maxsize=4)
def _read_rows(path: Path) -> dict[str, dict[str, Any]]:
    rows = read_parquet(path).to_pylist() if path.exists() else []
    return {row["id"]: row for row in rows}
