"""Concepts: named groups of an SAE's features, and how strongly prompts activate them."""

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float64
    from scipy.sparse import csr_matrix

FEATURE_ID = re.compile(r"feature:([0-9]{1,9})")
"""Id of a single feature in the place of a concept."""
ConceptKind = Literal["on", "near", "promotes", "contrast"]
ConceptSubject = Literal["meaning", "form", "contrast"]


class Concept(NamedTuple):
    """A named group of features: what they fire on, fire near, or promote."""

    id: str
    """Kind and source, such as `on:noun.food`; unique in a dictionary."""
    name: str
    """A few plain words, such as `food` or `near food`."""
    kind: ConceptKind
    """`on` the word, `near` it in the words before, `promotes` it as the next word, or `contrast`:
    fires in one set of example sentences more than in another."""
    features: tuple[int, ...]
    weights: tuple[float, ...]
    """Weight of each feature's log(1 + activation) in the concept's activation."""
    verdict: str = "not validated"
    """Result of the trial on unseen documents."""
    words: tuple[str, ...] = ()
    """Telling words: what the features fire on most."""
    examples: tuple[str, ...] = ()
    """Contexts in which the features fire, the firing token between « and »."""
    subject: ConceptSubject = "meaning"
    """What the name tells: what words mean; their form alone, as signs, endings and function words
    have it; or which of two kinds of examples a prompt is like."""
    task: str = ""
    """The task whose prompts a contrast was made of; "" where it is for every task."""
    wide: bool = False
    """Whether it is of several classes of words together: it tells less than one of a class."""

    @property
    def text(self) -> str:
        """The name as it is shown: with telling words."""
        return f"{self.name} ({', '.join(self.words)})" if self.words else self.name

    def restricted(self, kept: Collection[int]) -> "Concept":
        """Returns the concept with those of its features that are kept; it may have none left."""
        pairs = [(f, w) for f, w in zip(self.features, self.weights) if f in kept]
        return self._replace(
            features=tuple(feature for feature, _ in pairs),
            weights=tuple(weight for _, weight in pairs),
        )


def feature_of(concept_id: str) -> int | None:
    """Returns the feature of an id such as `feature:12`; None for the id of another concept."""
    found = FEATURE_ID.fullmatch(concept_id)
    return int(found[1]) if found else None


def feature_concept(feature: int, name: str) -> Concept:
    """Returns a feature as a concept of its own, of id `feature:12`."""
    return Concept(f"feature:{feature}", name, "on", (feature,), (1.0,))


def concepts_named(name: str, concepts: Sequence[Concept]) -> list[Concept]:
    """Returns the concepts of an id, or of a name as it is given or shown."""
    return [concept for concept in concepts if name in (concept.id, concept.name, concept.text)]


def concept_weights(concepts: Sequence[Concept], d_sae: int) -> "csr_matrix":
    """Returns the weight of every feature in each concept, `[d_sae, n_concepts]`, float64."""
    from scipy.sparse import csr_matrix

    sizes = [len(concept.features) for concept in concepts]
    features = np.array([f for concept in concepts for f in concept.features], dtype=np.int64)
    weights = np.array([w for concept in concepts for w in concept.weights], dtype=float)
    columns = np.repeat(np.arange(len(concepts)), sizes)
    return csr_matrix((weights, (features, columns)), shape=(d_sae, len(concepts)))


def concept_activations(
    log_activations: "csr_matrix", concepts: Sequence[Concept]
) -> "Float64[np.ndarray, 'n n_concepts']":
    """Returns the activation of each concept: the weighted sum of its features' log-activations.

    Args:
        log_activations: log(1 + activation) of each feature in each prompt, `[n, d_sae]`.
        concepts: The concepts.
    """
    matrix: Any = log_activations
    weights = concept_weights(concepts, matrix.shape[1])
    return (matrix @ weights).toarray().astype(float)
