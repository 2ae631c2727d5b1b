"""What a labeler sees of a feature, and what it returns."""

from typing import NamedTuple, Protocol

from scipy.sparse import csr_matrix

from saetask.dictionary.examples import Examples
from saetask.dictionary.rules import Rule, Vocabulary


class Contexts(NamedTuple):
    """Examples of a feature with what each shows."""

    examples: Examples
    atoms: csr_matrix
    """`[n, n_atoms]`; see `rules.atoms`."""


class FeatureEvidence(NamedTuple):
    """What is known of a feature before its label is tested; no test document is among it."""

    feature: int
    learning: Contexts
    """From the build documents."""
    selection: Contexts
    """From other documents: for choosing among labels, or where to cut."""
    promoted: list[str]
    """Tokens that the feature promotes most, by logit lens."""
    vocabulary: Vocabulary


class Label(NamedTuple):
    """A label, and the claim that it makes."""

    text: str
    rule: Rule | None
    """Where the feature should fire; None when there is nothing to go by."""


class Labeler(Protocol):
    """What a labeler plugin provides."""

    name: str

    def label(self, evidence: FeatureEvidence) -> Label:
        """Labels one feature."""
        ...
