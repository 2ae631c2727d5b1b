"""Hypotheses: what may be present in a prompt, and how strongly each is."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from saetask.data.class_names import TOO_WIDE
from saetask.data.word_classes import FUNCTION_WORDS, word_lists
from saetask.dictionary.feature_labels import FeatureLabels
from saetask.dictionary.naming.name_trials import UNNAMED
from saetask.dictionary.naming.telling_words import MIN_LETTERS
from saetask.saes.concepts import Concept, feature_concept

if TYPE_CHECKING:
    from jaxtyping import Float32
    from scipy.sparse import csc_matrix, csr_matrix

_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"[^"]*"|['"])"""
LISTED_WORDS = re.compile(rf"(?:on|after|about|promotes) {_QUOTED}(?:, {_QUOTED})*(?: \([^)]*\))?")
"""A label that lists quoted words, such as `on 'sat', 'sit' (inconsistent)`."""
HypothesisKind = Literal["concept", "feature", "word", "n-gram"]


class Hypothesis(NamedTuple):
    """Something that a prompt may have, and that the model may fail on."""

    id: str
    """Unique: a concept's id, `feature:12`, or `word:money`."""
    name: str
    """A few plain words."""
    kind: HypothesisKind
    concept: Concept | None = None
    """The features and their weights; None for words."""


class Family(NamedTuple):
    """Hypotheses that are corrected for multiple testing together, with their scores."""

    scores: "Float32[np.ndarray, 'n m'] | csc_matrix"
    """How strongly each is present in each prompt; 0 where it is not. Sparse ones by columns."""
    hypothesis: Callable[[int], Hypothesis]
    """Returns the hypothesis of a column."""

    @property
    def width(self) -> int:
        """Number of hypotheses."""
        scores: Any = self.scores
        return scores.shape[1]

    def columns(self, columns: Sequence[int] | slice) -> "Float32[np.ndarray, 'n k']":
        """Returns the scores of some columns, dense."""
        chosen: Any = self.scores[:, columns]
        return chosen if isinstance(chosen, np.ndarray) else chosen.toarray()

    def rows(self, rows: np.ndarray) -> "Family":
        """Returns the family on some of the prompts."""
        scores: Any = self.scores
        return self._replace(scores=scores[rows])


def concept_family(scores: "Float32[np.ndarray, 'n m']", concepts: Sequence[Concept]) -> Family:
    """Returns the concepts as hypotheses."""

    def hypothesis(column: int) -> Hypothesis:
        concept = concepts[column]
        return Hypothesis(concept.id, concept.text, "concept", concept)

    return Family(scores, hypothesis)


def feature_family(scores: "csr_matrix", labels: FeatureLabels | None) -> Family:
    """Returns the features as hypotheses, by name where they have one, else by label.

    Args:
        scores: log(1 + activation), `[n, d_sae]`.
        labels: Labels of the features; None where they have none, as those of a random dictionary.
    """

    def hypothesis(column: int) -> Hypothesis:
        name = f"feature {column}" if labels is None else feature_name(labels, column)
        concept = feature_concept(column, name)
        return Hypothesis(concept.id, name, "feature", concept)

    return Family(_by_columns(scores), hypothesis)


def feature_name(labels: FeatureLabels, feature: int) -> str:
    """Returns a feature's name with telling words where it has a telling one, else its number.

    With the number comes a validated name that many words fit, or that no known concept does; and
    words of its label, if a reader can make something of them: whole ones that are no function
    words. Where features have no names, the first part of the label comes.
    """
    label = labels.for_display([feature])[feature].partition(";")[0]
    if labels.dictionary is None:
        return f"feature {feature}, {label}" if label else f"feature {feature}"
    row = labels.dictionary.feature(feature).row
    named = row.get("name_verdict") == "validated"
    words = (row["name_words"] or []) if named else readable_words(label)
    telling = f" ({', '.join(words)})" if words else ""
    if has_telling_name(row):
        return f"{row['name']}{telling}"
    if label and not LISTED_WORDS.fullmatch(label):
        return f"feature {feature}, {label}"
    return f"feature {feature}, {row['name'] if named else UNNAMED}{telling}"


def readable_words(label: str) -> list[str]:
    """Returns the quoted words of a label that are whole words and no function words."""
    quoted = re.findall(r"'([^\W\d_]+)'", label)
    return [w for w in quoted if len(w) >= MIN_LETTERS and w not in word_lists()[FUNCTION_WORDS]]


def has_telling_name(row: Mapping[str, Any]) -> bool:
    """Returns whether a feature's name was validated, and is not of every other word.

    Args:
        row: The feature's row in the dictionary's table.
    """
    source = (row.get("name_source") or "").partition(":")[2]
    return row.get("name_verdict") == "validated" and source not in TOO_WIDE


def word_family(scores: "csr_matrix", terms: Sequence[str], kind: HypothesisKind) -> Family:
    """Returns words or n-grams as hypotheses."""

    def hypothesis(column: int) -> Hypothesis:
        return Hypothesis(f"{kind}:{terms[column]}", f"'{terms[column]}'", kind)

    return Family(_by_columns(scores), hypothesis)


def _by_columns(scores: "csr_matrix") -> "csc_matrix":
    rows: Any = scores
    return rows.tocsc()
