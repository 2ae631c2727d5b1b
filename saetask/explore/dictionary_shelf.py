"""The dictionary as the explorer browses it: rows, cards and search, with a reader's verdicts."""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from saetask.dictionary.dictionary import Dictionary
from saetask.dictionary.reader_verdicts import (
    ReaderVerdict,
    append_verdict,
    check_known,
    read_verdicts,
    standing_verdicts,
    verdicts_path,
)
from saetask.session.card_document import (
    concept_card,
    concept_rows,
    concept_summary,
    feature_card,
)
from saetask.session.reading_document import feature_rows

SORTS: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "number": lambda row: int(row["id"].partition(":")[2]),
    "rarest": lambda row: row["density"] or 1.0,
    "commonest": lambda row: -row["density"],
    "name": lambda row: (row["name"] is None, row["name"] or ""),
}
"""Orders of the list of features."""


class DictionaryShelf:
    """A dictionary and the verdicts on it. Safe for several threads."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.dictionary = dictionary
        self.path: Path = verdicts_path(dictionary.folder)
        """File of the reader's verdicts."""
        self.verdicts()  # a damaged file is refused at once

    def verdicts(self) -> list[dict[str, Any]]:
        """Returns the verdicts that stand, the latest first.

        Raises:
            UserError: The file is damaged.
        """
        standing = standing_verdicts(read_verdicts(self.path))
        return [verdict.to_dict() for verdict in reversed(standing)]

    def add(self, verdict: ReaderVerdict) -> None:
        """Saves a verdict.

        Raises:
            UserError: There is no such feature or concept, or the file can not be written.
        """
        check_known(verdict, len(self.dictionary), list(self._concept_rows))
        append_verdict(self.path, verdict)

    def features(self, sort: str, verdict: str, offset: int, limit: int) -> dict[str, Any]:
        """Returns a page of the list of features.

        Args:
            sort: One of `SORTS`.
            verdict: The verdict of their names; "" for all features.
            offset: Number of features to pass over.
            limit: Maximum number of features.
        """
        rows = [row for row in self._rows if verdict in ("", row["verdict"])]
        rows.sort(key=SORTS[sort])
        return {"n": len(rows), "features": rows[offset : offset + limit]}

    def search(self, words: str, limit: int) -> dict[str, Any]:
        """Returns the concepts and features that words find.

        Raises:
            UserError: There are no words.
        """
        features = self.dictionary.search(words, limit)
        wanted = words.lower().split()
        concepts = [
            row for row in self.concepts() if any(word in _concept_text(row) for word in wanted)
        ]
        return {"concepts": concepts, "features": feature_rows(features, self.dictionary)}

    def feature(self, number: int) -> dict[str, Any]:
        """Returns the card of a feature: its row, its contexts, and the names of its neighbours.

        Raises:
            UserError: No such feature.
        """
        return feature_card(self.dictionary, number)

    def concepts(self) -> list[dict[str, Any]]:
        """Returns all concepts without their features."""
        return [concept_summary(row) for row in self._concept_rows.values()]

    def concept(self, name: str) -> dict[str, Any]:
        """Returns the card of a concept: its row, with its heaviest features.

        Raises:
            UserError: No such concept.
        """
        return concept_card(self.dictionary, name)

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        return feature_rows(range(len(self.dictionary)), self.dictionary)

    @property
    def _concept_rows(self) -> dict[str, dict[str, Any]]:
        return concept_rows(self.dictionary)


def _concept_text(row: Mapping[str, Any]) -> str:
    return " ".join([row["id"], row["name"], *(row["words"] or ())]).lower()
