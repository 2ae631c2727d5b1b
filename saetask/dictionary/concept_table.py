"""The table of concepts of a dictionary, `concepts.parquet`: one row a concept."""

from pathlib import Path
from typing import NamedTuple

from saetask.data.class_names import WIDE_CLASSES
from saetask.dictionary.naming.subjects import subject_of
from saetask.dictionary.store import read_parquet, write_parquet
from saetask.errors import UserError
from saetask.saes.concepts import Concept

CONCEPTS = "concepts.parquet"


class TriedConcept(NamedTuple):
    """A concept, and how it did on unseen documents."""

    concept: Concept
    source: str
    """What its name says: a class or list of words, a kind of sign, or a user's concept."""
    statistic: float
    """Median standard score of its features' association with the source, held out."""
    null_threshold: float
    """What its area under the curve must exceed."""
    auroc: float
    """Area under the curve of its activation as a classifier of where the name holds."""


def write_concepts(folder: Path, concepts: list[TriedConcept]) -> None:
    """Writes the concepts of a dictionary."""
    import pyarrow

    texts, numbers = pyarrow.list_(pyarrow.string()), pyarrow.list_(pyarrow.float32())
    schema = pyarrow.schema(
        {
            "id": pyarrow.string(),
            "name": pyarrow.string(),
            "kind": pyarrow.string(),
            "source": pyarrow.string(),
            "features": pyarrow.list_(pyarrow.int32()),
            "weights": numbers,
            "statistic": pyarrow.float32(),
            "null_threshold": pyarrow.float32(),
            "auroc": pyarrow.float32(),
            "verdict": pyarrow.string(),
            "words": texts,
            "examples": texts,
            "task": pyarrow.string(),
        }
    )
    rows = [{**tried.concept._asdict(), **tried._asdict()} for tried in concepts]
    write_parquet(folder / CONCEPTS, pyarrow.Table.from_pylist(rows, schema))


def read_concepts(folder: Path, d_sae: int) -> list[Concept]:
    """Reads the concepts of a dictionary; returns none where its features were not named.

    Raises:
        UserError: The table is damaged, or has features that the dictionary has not.
    """
    path = folder / CONCEPTS
    if not path.exists():
        return []
    try:
        concepts = [
            Concept(
                row["id"],
                row["name"],
                row["kind"],
                tuple(row["features"]),
                tuple(row["weights"]),
                row["verdict"] or "not validated",
                tuple(row["words"] or ()),
                tuple(row["examples"] or ()),
                subject_of(row["kind"], row["source"]),
                row.get("task") or "",
                row["source"] in WIDE_CLASSES,
            )
            for row in read_parquet(path).to_pylist()
        ]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); name the features anew.") from error
    for concept in concepts:
        known = all(0 <= feature < d_sae for feature in concept.features)
        if not known or len(concept.features) != len(concept.weights):
            raise UserError(
                f"{path} is damaged (concept '{concept.id}' has features that the dictionary has "
                "not, or not a weight for each); name the features anew."
            )
    return concepts
