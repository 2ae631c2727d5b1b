"""Concepts that a prompt activates, as a table of `saetask read`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from saetask.cli.tables import make_table

if TYPE_CHECKING:
    from rich.table import Table

    from saetask.saes.activations import FeatureActivations
    from saetask.saes.concepts import Concept

MOST_WORDS = 4
ACTIVATION, FEATURES = "highest\nactivation", "active\nfeatures"
LEGEND = (
    "Highest activation: of the concept's features on any token of the prompt, in the SAE's own "
    "scale; active features: how many of the concept's are not zero in the prompt."
)
"""What the columns of figures say."""


class ConceptFiring(NamedTuple):
    """A concept that fires in a prompt."""

    id: str
    name: str
    verdict: str
    activation: float
    """The strongest activation of its features."""
    words: list[str]
    """The tokens on which they fire, strongest first."""
    n_features: int
    """Number of its features that fire in the prompt."""
    n_all: int
    """Number of its features."""


def concept_firings(
    activations: "FeatureActivations", concepts: "Sequence[Concept]", top: int
) -> list[ConceptFiring]:
    """Returns the concepts that fire most strongly in one prompt's text, strongest first.

    Args:
        activations: Of one prompt.
        concepts: Concepts of the same SAE.
        top: Maximum number of concepts.
    """
    region = activations.prompts[0].regions["text"]
    fired = [firing for firing in activations.firings() if firing.span.overlaps(region)]
    fired.sort(key=lambda firing: -abs(firing.value))
    found = []
    for concept in concepts:
        features = set(concept.features)
        own = [firing for firing in fired if firing.feature in features]
        if own:
            words = list(dict.fromkeys(firing.text.strip() for firing in own))
            n_firing = len({firing.feature for firing in own})
            name, verdict, strongest = concept.text, concept.verdict, abs(own[0].value)
            found.append(
                ConceptFiring(
                    concept.id, name, verdict, strongest, words, n_firing, len(concept.features)
                )
            )
    return sorted(found, key=lambda firing: -firing.activation)[:top]


def concepts_table(firings: Sequence[ConceptFiring], brief: bool = False) -> "Table":
    """Returns the concepts, one a row; if brief, without telling words and counts of features."""
    from rich.markup import escape

    from saetask.report.evidence import short_name

    right = (ACTIVATION,) if brief else (ACTIVATION, FEATURES)
    table = make_table("concept", "its name is", "fires on", *right, right=right)
    for firing in firings:
        words = ", ".join(firing.words[:MOST_WORDS]) + ", …" * (len(firing.words) > MOST_WORDS)
        name = short_name(firing.name) if brief else firing.name
        figures = [f"{firing.activation:.2f}", f"{firing.n_features} of {firing.n_all}"]
        table.add_row(escape(name), firing.verdict, escape(words), *figures[: len(right)])
    return table
