"""Names of features and concepts as a reader's verdicts change them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from saetask.dictionary.concept_table import TriedConcept
from saetask.dictionary.reader_verdicts import ReaderVerdict, standing_verdicts

if TYPE_CHECKING:
    import pyarrow

RENAMED = "named by a reader"
"""In place of a name's verdict: the name was not tried on unseen documents."""
REFUSED = "refused by a reader"
READER = "reader"
"""Source of a name that a reader gave."""
TRIED = ("name_auroc", "name_null", "name_recall", "name_precision")
"""Columns of what was tried, which says nothing of another name."""


def with_reader_names(table: "pyarrow.Table", verdicts: Sequence[ReaderVerdict]) -> "pyarrow.Table":
    """Returns a features table with the names that a reader gave, and without those refused.

    A name that a reader called wrong is only refused where it is given again.

    Args:
        table: The table, with columns of names.
        verdicts: All verdicts, oldest first.
    """
    import pyarrow

    standing = {int(v.id): v for v in standing_verdicts(verdicts) if v.kind == "feature"}
    changed = {f: v for f, v in standing.items() if f < table.num_rows}
    names = [name for name in table.column_names if name.startswith("name")]
    columns = {name: table[name].to_pylist() for name in names}
    for feature, verdict in changed.items():
        for name, value in _feature_columns(columns["name"][feature], verdict).items():
            columns[name][feature] = value
    for name in names:
        place, kind = table.column_names.index(name), table.schema.field(name).type
        table = table.set_column(place, name, pyarrow.array(columns[name], kind))
    return table


def _feature_columns(name: str | None, verdict: ReaderVerdict) -> dict[str, Any]:
    """Returns the columns of a feature's row that a verdict changes."""
    untried = dict.fromkeys(TRIED)
    if verdict.verdict == "rename":
        given = {"name": verdict.new_name, "name_source": READER, "name_verdict": RENAMED}
        return {**given, "name_words": [], **untried}
    if verdict.verdict == "wrong" and name is not None and name == verdict.name:
        nothing = {"name": None, "name_source": None, "name_verdict": REFUSED}
        return {**nothing, "name_words": [], **untried}
    return {}


def with_reader_concepts(
    concepts: Sequence[TriedConcept], verdicts: Sequence[ReaderVerdict]
) -> list[TriedConcept]:
    """Returns concepts with the names that a reader gave; ids, features and trials stay.

    The verdict on a name that was given or refused by a reader is no longer `validated`, so that
    detectors and notes leave the concept alone unless they may use what is not validated.

    Args:
        concepts: The concepts.
        verdicts: All verdicts, oldest first.
    """
    standing = {v.id: v for v in standing_verdicts(verdicts) if v.kind == "concept"}
    return [_renamed(tried, standing.get(tried.concept.id)) for tried in concepts]


def _renamed(tried: TriedConcept, verdict: ReaderVerdict | None) -> TriedConcept:
    concept = tried.concept
    if verdict is None:
        return tried
    if verdict.verdict == "rename" and verdict.new_name:
        named = concept._replace(name=verdict.new_name, words=(), verdict=RENAMED)
        return tried._replace(concept=named)
    if verdict.verdict == "wrong" and verdict.name in (concept.name, concept.text):
        return tried._replace(concept=concept._replace(verdict=REFUSED))
    return tried
