"""Labels that others have made, from an export of Neuronpedia."""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import Field

from saetask import UserError
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
    """An export of explanations of this SAE, .jsonl or .jsonl.gz."""


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

        Raises:
            UserError: There is no file, it does not fit, or it is of several SAEs.
        """
        return Neuronpedia(_best(Path(options.path)), {"path": options.path})

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
        if found is None or not found.text:
            return Label("", None, failed=f"not in {Path(path).name}")
        return Label(found.text, None, found.provenance)


def _best(path: Path) -> dict[int, Explanation]:
    """Returns the explanation of each feature with the highest score, else the first."""
    best: dict[int, Explanation] = {}
    source = None
    for number, line in _lines(path):
        row = _row(path, number, line)
        if source not in (None, (row["modelId"], row["layer"])):
            raise UserError(
                f"{path}, line {number}, field 'layer': {row['modelId']}/{row['layer']}, after "
                f"{'/'.join(source)}; give a file of one SAE."
            )
        source = (row["modelId"], row["layer"])
        names = ("modelId", "layer", "typeName", "explanationModelName")
        provenance = {name: row[name] for name in names if row.get(name)}
        score = _score(path, number, row)
        found = Explanation(row["description"].strip(), score, provenance, number)
        index = int(row["index"])
        if index not in best or _rank(found) > _rank(best[index]):
            best[index] = found
    return best


def _rank(explanation: Explanation) -> tuple[bool, float]:
    score = explanation.score
    return bool(explanation.text), float("-inf") if score is None else score


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"Export {path} cannot be read: {reason}.") from error


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UserError(f"{path}, line {number} is no JSON: {error}.") from error
    if not isinstance(row, dict):
        raise UserError(f"{path}, line {number} is no JSON object.")
    for name in REQUIRED:
        if name not in row:
            raise UserError(f"{path}, line {number} has no field '{name}'.")
        if name != "index" and not isinstance(row[name], str):
            raise UserError(f"{path}, line {number}, field '{name}' is no text: {row[name]!r}.")
    if not str(row["index"]).isdecimal():
        raise UserError(
            f"{path}, line {number}, field 'index' is no feature number: {row['index']!r}."
        )
    return row


def _score(path: Path, number: int, row: Mapping[str, Any]) -> float | None:
    try:
        return max((float(score["value"]) for score in row.get("scores") or ()), default=None)
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(
            f"{path}, line {number}, field 'scores': each needs a number called 'value'."
        ) from error
