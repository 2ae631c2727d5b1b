"""The prompts of the fit split whose evidence is most like that of a prompt, with their readings.

Two prompts are alike where the same features fire, counted by how much each feature tells readings
apart: what a probe does not read makes no two prompts alike. Features without a name count, too, so
known prompts show what no name tells.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int32, Int64

NEAREST = 5
"""Number of prompts that a finding names."""
MOST_COLUMNS = 64
"""Columns that are kept of a prompt: those that tell most."""
ROUNDING = 1e-9
"""Length up to which a prompt tells nothing, and cosine up to which two are unlike."""
MOST_CHARACTERS = 240
"""Characters that are kept of a prompt's text."""


class NearPrompt(NamedTuple):
    """A prompt of the fit split whose evidence is like that of the prompt at hand."""

    text: str
    """The text that it asks about, shortened."""
    reading: str
    """Its right reading."""
    similarity: float
    """Cosine of what the features of the two prompts tell; 1 is the same."""


class KnownPrompts(NamedTuple):
    """What the prompts of the fit split tell a probe, and their right classes."""

    texts: Sequence[str]
    classes: "Int64[np.ndarray, ' n']"
    columns: "Int32[np.ndarray, 'n kept']"
    """The columns that tell most."""
    values: "Float32[np.ndarray, 'n kept']"
    """What they tell, each row of length 1; zeros where a prompt has fewer columns."""

    def nearest(self, telling: csr_matrix, text: str, readings: Sequence[str]) -> list[NearPrompt]:
        """Returns the prompts whose evidence is most like that of a prompt, the most alike first.

        Args:
            telling: What the prompt's columns tell, as `telling_parts` returns it, `[1, column]`.
            text: Its text; a known prompt with the same text is left out.
            readings: The reading of each class.
        """
        n, kept = self.columns.shape
        indptr = np.arange(0, n * kept + 1, kept)
        given = self.values.ravel(), self.columns.ravel(), indptr
        own = telling.toarray()[0]
        rows: Any = csr_matrix(given, shape=(n, len(own)))
        cosines = rows @ own / _length(own)
        found: list[NearPrompt] = []
        for row in map(int, np.argsort(-cosines, kind="stable")):
            if (
                cosines[row] > ROUNDING
                and self.texts[row] != shortened(text)
                and len(found) < NEAREST
            ):
                reading = readings[int(self.classes[row])]
                found.append(NearPrompt(self.texts[row], reading, float(cosines[row])))
        return found


def known_prompts(
    texts: Sequence[str],
    telling: csr_matrix,
    classes: "Int64[np.ndarray, ' n']",
    most_columns: int = MOST_COLUMNS,
) -> KnownPrompts:
    """Returns what is kept of the prompts of the fit split.

    Args:
        texts: What each asks about.
        telling: What their columns tell, as `telling_parts` returns it, `[n, column]`.
        classes: Their right classes.
        most_columns: Columns that are kept of a prompt.
    """
    columns = np.zeros((len(texts), most_columns), np.int32)
    values = np.zeros((len(texts), most_columns), np.float32)
    for row, (start, end) in enumerate(pairwise(telling.indptr)):
        parts, places = telling.data[start:end], telling.indices[start:end]
        strongest = np.argsort(-np.abs(parts), kind="stable")[:most_columns]
        columns[row, : len(strongest)] = places[strongest]
        values[row, : len(strongest)] = parts[strongest]
    values /= _length(values)
    return KnownPrompts([shortened(text) for text in texts], classes, columns, values)


def _length(values: np.ndarray) -> np.ndarray:
    """Returns the lengths of vectors along the last axis; infinity for one that is rounding."""
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.where(lengths > ROUNDING, lengths, np.inf)


def telling_parts(
    design: csr_matrix,
    usual: "Float[np.ndarray, ' column']",
    weights: "Float[np.ndarray, 'class column']",
) -> csr_matrix:
    """Returns what each firing column of prompts tells of their readings, `[n, column]`.

    That is its log-activation beyond the usual one, times how far its weights of the classes lie
    apart: their root-sum-square deviation from the mean.

    Args:
        design: Log-activations, `[n, column]`.
        usual: Their mean in the fit split.
        weights: The probe's weights.
    """
    apart = np.sqrt(((weights - weights.mean(0)) ** 2).sum(0))
    parts = csr_matrix(design, copy=True)
    parts.data = (parts.data - usual[parts.indices]) * apart[parts.indices]
    return parts


def shortened(text: str) -> str:
    """Returns a text in one line, cut at its end where it is too long to be kept."""
    line = " ".join(text.split())
    return line if len(line) <= MOST_CHARACTERS else line[: MOST_CHARACTERS - 1] + "…"
