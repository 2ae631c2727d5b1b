"""Concepts that detectors may use: a dictionary's, less those that are struck out."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from saetask.dictionary.feature_labels import FeatureLabels
from saetask.errors import UserError, did_you_mean
from saetask.saes.activations import FeatureActivations
from saetask.saes.concepts import Concept, concepts_named, feature_concept, feature_of


class KnownConcepts(NamedTuple):
    """Concepts that detectors may use, and features that they do not see."""

    concepts: tuple[Concept, ...]
    struck: tuple[int, ...]
    """Features of the concepts that were struck out, ascending."""
    named_features: tuple[Concept, ...] = ()
    """Single features named for a meaning, as concepts; only for a detector of concepts."""

    def seen(self, features: FeatureActivations) -> FeatureActivations:
        """Returns the activations of the features that were not struck out."""
        if not self.struck:
            return features
        return features.restricted(np.setdiff1d(np.arange(features.d_sae), self.struck))


NO_CONCEPTS = KnownConcepts((), ())


def find_known_concepts(
    labels: FeatureLabels,
    without: Sequence[str] = (),
    task: str | None = None,
    with_features: bool = False,
) -> KnownConcepts:
    """Returns the concepts of an SAE's dictionary that detectors may use.

    Only validated ones, unless annotations may use labels that are not.

    Args:
        labels: Labels of the SAE's features, with their dictionary.
        without: Concepts to strike out, by id or name, or any single features (`feature:12`); a
            name may be that of several concepts. The others lose the features that they share
            with one.
        task: Leaves out contrasts between prompts of other tasks; None leaves out none.
        with_features: Whether single features that are named for a meaning are returned as well.

    Raises:
        UserError: A concept or feature to strike out is unknown.
    """
    groups = [] if labels.dictionary is None else labels.dictionary.concepts()
    singles: list[Concept] = []
    if labels.dictionary is not None and (with_features or without):
        singles = labels.dictionary.named_features()
    every = [*groups, *singles]
    struck = {f for name in without for c in _find(name, every, labels) for f in c.features}

    def usable(concepts: Sequence[Concept]) -> tuple[Concept, ...]:
        known = [c for c in concepts if labels.unvalidated or c.verdict == "validated"]
        known = [c for c in known if task is None or c.task in ("", task)]
        return tuple(_without(known, struck))

    named = usable([c for c in singles if c.subject == "meaning"]) if with_features else ()
    return KnownConcepts(usable(groups), tuple(sorted(struck)), named)


def _without(concepts: Sequence[Concept], struck: Collection[int]) -> Sequence[Concept]:
    """Returns concepts without some features, and without those that have none left."""
    if not struck:
        return concepts
    left = np.setdiff1d([f for concept in concepts for f in concept.features], list(struck))
    return [c for c in restrict_concepts(concepts, left) if c.features]


def check_concepts(detector: str, known: KnownConcepts, labels: FeatureLabels) -> None:
    """Checks that there are concepts for a detector that reads them.

    Raises:
        UserError: There are none; the line says which dictionary lacks them, and how to mend it.
    """
    if known.concepts or known.named_features:
        return
    if known.struck:
        raise UserError(
            f"--without leaves no concept for the detector {detector}; strike out fewer."
        )
    if labels.dictionary is not None and labels.dictionary.concepts():
        raise UserError(
            f"The detector {detector} reads concepts, and none of {_place(labels)} is validated; "
            "--unvalidated-labels takes them as they are."
        )
    raise UserError(f"The detector {detector} reads concepts, and {_none_there(labels)}")


def restrict_concepts(concepts: Sequence[Concept], kept: np.ndarray) -> list[Concept]:
    """Returns concepts with those of their features that are kept; some may have none left.

    Args:
        concepts: The concepts.
        kept: Indices of the features to keep, `[n_kept]`.
    """
    features = set(kept.tolist())
    return [concept.restricted(features) for concept in concepts]


def random_groups(
    concepts: Sequence[Concept], live: np.ndarray, d_sae: int, generator: np.random.Generator
) -> list[Concept]:
    """Returns a random group of features in the place of each concept, of its size and weights.

    Concepts hold for the features that they were made of. A detector that reads concepts through
    another dictionary, such as a random one, reads these groups instead.

    Args:
        concepts: The concepts.
        live: Features of the other dictionary that fire, `[n_live]`.
        d_sae: Number of features of that dictionary.
        generator: Source of randomness.
    """
    groups = []
    for number, concept in enumerate(concepts):
        size = min(len(concept.features), len(live))
        features = tuple(_drawn(live, d_sae, generator)[:size].tolist())
        name = f"random group {number}"
        weights, subject = concept.weights[:size], concept.subject
        groups.append(
            Concept(f"random:{number}", name, concept.kind, features, weights, subject=subject)
        )
    return groups


def random_features(
    n: int, live: np.ndarray, d_sae: int, generator: np.random.Generator
) -> list[Concept]:
    """Returns random live features of another dictionary as concepts, at most as many as live.

    Args:
        n: Number of features that have a name.
        live: Features of the other dictionary that fire, `[n_live]`.
        d_sae: Number of features of that dictionary.
        generator: Source of randomness.
    """
    drawn = _drawn(live, d_sae, generator)[:n].tolist()
    return [feature_concept(feature, f"random feature {feature}") for feature in drawn]


def _drawn(live: np.ndarray, d_sae: int, generator: np.random.Generator) -> np.ndarray:
    """Returns the live features in a random order.

    All features are shuffled, so that one feature more or less, as by the rounding of another
    processor, leaves the order of the others as it was.
    """
    order = generator.permutation(d_sae)
    return order[np.isin(order, live)]


def _find(name: str, concepts: Sequence[Concept], labels: FeatureLabels) -> list[Concept]:
    """Returns the concepts of an id, or of a name as it is given or shown."""
    if (feature := feature_of(name)) is not None:
        d_sae = labels.sae.cfg.d_sae
        if feature >= d_sae:
            raise UserError(f"--without '{name}': the SAE has features 0 to {d_sae - 1}.")
        return [feature_concept(feature, name)]
    if not concepts:
        raise UserError(f"--without '{name}': {_none_there(labels)}")
    return find_struck(name, concepts, _place(labels))


def find_struck(name: str, concepts: Sequence[Concept], place: str) -> list[Concept]:
    """Returns the concepts of an id, or of a name as it is given or shown.

    Args:
        name: As `--without` takes it.
        concepts: The concepts that there are.
        place: What has them, for the message.

    Raises:
        UserError: There is none.
    """
    if found := concepts_named(name, concepts):
        return found
    known = {text for concept in concepts for text in (concept.id, concept.name)}
    raise UserError(f"--without '{name}': {place} has no such concept.{did_you_mean(name, known)}")


def _place(labels: FeatureLabels) -> str:
    return f"the dictionary {labels.dictionary.folder}" if labels.dictionary else "no dictionary"


def _none_there(labels: FeatureLabels) -> str:
    if labels.dictionary is None:
        return (
            "this SAE has no dictionary; `saetask dictionary build` makes one, and "
            "`saetask dictionary name` its concepts."
        )
    folder = labels.dictionary.folder
    return f"{_place(labels)} has none; `saetask dictionary name {folder}` names its features."
