"""Labels that others have made, from an export of Neuronpedia."""

import hashlib
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import Field

from saetask import UserError
from saetask.data import read_lines
from saetask.dictionary import FeatureEvidence, Label

REQUIRED = ("modelId", "layer", "index", "description")


class Explanation(NamedTuple):
    """The best explanation of a feature in the file."""

    text: str
    score: float | None
    provenance: dict[str, Any]
    line: int


@dataclass(frozen=True)
class NeuronpediaOptions:
    """Which export is read."""

    path: Annotated[str, Field(min_length=1)]
    """An export of explanations of this SAE: .jsonl or .jsonl.gz, or one array as .json."""
    sha256: str | None = None
    """The file's SHA-256; a file with another one is refused. A dictionary keeps it."""


@dataclass(frozen=True)
class Neuronpedia:
    """Explanations from a Neuronpedia export, JSONL as in its public buckets."""

    explanations: Mapping[int, Explanation] | None = None
    chosen: Mapping[str, str] = field(default_factory=dict)
    name: ClassVar[str] = "neuronpedia"
    in_words: ClassVar[bool] = True
    options_type: ClassVar[type] = NeuronpediaOptions

    def configure(self, options: NeuronpediaOptions) -> "Neuronpedia":
        """Reads an export.

        A line needs the fields `modelId`, `layer` (Neuronpedia's name of the SAE), `index` and
        `description`; `typeName`, `explanationModelName` and `scores` are taken where they are.
        Lines whose description is null or empty are passed over, and counted on stderr. Of several
        explanations of a feature the one with the highest score is taken, else the first.

        Raises:
            UserError: There is no file, it is another one than `sha256` says, it does not fit, has
                no explanation, or is of several SAEs.
        """
        path = Path(options.path).expanduser()
        explanations = _best(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if options.sha256 not in (None, digest):
            raise UserError(
                f"Export {path} is another file than the one named by its SHA-256 "
                f"({digest[:12]}…, not {options.sha256[:12]}…); give that one, or build anew."
            )
        return Neuronpedia(explanations, {"path": options.path, "sha256": digest})

    def label(self, evidence: FeatureEvidence) -> Label:
        """Looks one feature up.

        Raises:
            UserError: The file has features that the SAE has not.
        """
        if self.explanations is None:
            raise UserError("Labeler 'neuronpedia' needs the option 'path', an export's file.")
        path = self.chosen["path"]
        highest = max(self.explanations, default=0)
        if highest >= evidence.n_features:
            line = self.explanations[highest].line
            raise UserError(
                f"{path}, line {line}, field 'index': {highest}, but the SAE's features are 0 to "
                f"{evidence.n_features - 1}; give the export of this SAE."
            )
        found = self.explanations.get(evidence.feature)
        if found is None:
            return Label("", None, failed=f"no description in {Path(path).name}")
        return Label(found.text, None, found.provenance)


def _best(path: Path) -> dict[int, Explanation]:
    """Returns the explanation of each feature with the highest score, else the first."""
    best: dict[int, Explanation] = {}
    source, n_rows, n_empty = None, 0, 0
    for number, row in _rows(path):
        n_rows += 1
        if source not in (None, (row["modelId"], row["layer"])):
            raise UserError(
                f"{path}, line {number}, field 'layer': {row['modelId']}/{row['layer']}, after "
                f"{'/'.join(source)}; give a file of one SAE."
            )
        source = (row["modelId"], row["layer"])
        text, score = (row["description"] or "").strip(), _score(path, number, row)
        if not text:
            n_empty += 1
            continue
        names = ("modelId", "layer", "typeName", "explanationModelName")
        provenance = {name: row[name] for name in names if row.get(name)}
        found, index = Explanation(text, score, provenance, number), int(row["index"])
        if index not in best or _rank(found) > _rank(best[index]):
            best[index] = found
    if not best:
        raise UserError(
            f"Export {path} holds no explanation: it has {n_rows} lines, none with a description."
        )
    if n_empty:
        print(
            f"saetask: warning: {path}: {n_empty:,} of {n_rows:,} lines have no description and "
            "are passed over.",
            file=sys.stderr,
        )
    return best


def _rank(explanation: Explanation) -> float:
    return -math.inf if explanation.score is None else explanation.score


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the rows of an export with their line numbers; of an array, with their places."""
    if not path.is_file():
        raise UserError(f"Export {path} cannot be read: it is no file.")
    for number, line in read_lines(path):
        value = _json(path, number, line)
        if isinstance(value, list) and number == 1:
            for place, row in enumerate(value, 1):
                yield place, _row(path, place, row)
        else:
            yield number, _row(path, number, value)


def _json(path: Path, number: int, line: str) -> Any:
    """Returns a JSON value, NaN included: Python writes scores that were not computed like that."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}, line {number} is no JSON: {error}.") from error


def _row(path: Path, number: int, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise UserError(f"{path}, line {number} is no JSON object.")
    for name in REQUIRED:
        if name not in row:
            others = ", ".join(row) or "none"
            raise UserError(f"{path}, line {number} has no field '{name}'; it has: {others}.")
        is_null = name == "description" and row[name] is None
        if name != "index" and not is_null and not isinstance(row[name], str):
            raise UserError(f"{path}, line {number}, field '{name}' is no text: {row[name]!r}.")
    index = row["index"]
    if isinstance(index, float) and index.is_integer():
        row["index"] = index = int(index)
    if isinstance(index, bool) or not str(index).isdecimal():
        raise UserError(f"{path}, line {number}, field 'index' is no feature number: {index!r}.")
    return row


def _score(path: Path, number: int, row: Mapping[str, Any]) -> float | None:
    """Returns the highest score that is a finite number; None where there is none.

    A score of true or false, like null, tells nothing of how good the explanation is.
    """
    try:
        values = [score["value"] for score in row.get("scores") or ()]
        numbers = [float(v) for v in values if v is not None and not isinstance(v, bool)]
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(
            f"{path}, line {number}, field 'scores': each needs a number called 'value'."
        ) from error
    return max(filter(math.isfinite, numbers), default=None)
