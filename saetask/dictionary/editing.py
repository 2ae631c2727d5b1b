"""Edits of features by number and of concepts by name, in units of their typical activation."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.dictionary.dictionary import Dictionary
from saetask.dictionary.feature_labels import find_feature_labels
from saetask.errors import UserError, did_you_mean
from saetask.saes.concepts import Concept, concepts_named, feature_concept
from saetask.saes.encoding import encode_rows, reads_bos
from saetask.saes.feature_edits import FeatureEdit, check_features, features_edited
from saetask.saes.metrics import read_reconstruction_inputs
from saetask.saes.probe_text import probe_rows

if TYPE_CHECKING:
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

STRONGEST = 8
"""Number of a concept's features, those of the largest weight, that steering moves."""

Named = int | str
"""A feature, by number, or a concept of the dictionary, by id or name."""
LARGEST_STRENGTH = 1000.0
"""Largest strength, in typical activations: far beyond what leaves a model's text readable."""


@contextmanager
def edit(
    model: "Model",
    sae: "SAE[Any]",
    *,
    ablate: Sequence[Named] = (),
    steer: Mapping[Named, float] | None = None,
    dictionary: Dictionary | None = None,
) -> Iterator[None]:
    """Edits features or concepts in every forward pass of a model, in generation too.

    Only the change of the decoded features is added to the activation, so the SAE's reconstruction
    error stays, and an edit of nothing changes nothing. Special tokens and others that the SAE was
    not trained on are left as they are. Contexts may be nested.

    Args:
        model: A bridge or a `HookedTransformer`, at any hook point; its own hooks stay as they are.
        sae: An SAE that fits it.
        ablate: Features and concepts that do not fire; all features of a concept.
        steer: What is added to features and concepts, in multiples of the typical activation: 1
            adds to every token what the feature has on average where it fires; a negative number
            takes that away, at most to zero. Of a concept, the features of the largest weight are
            moved, each by its own typical activation.
        dictionary: Where concepts and typical activations are looked up; None takes the shipped
            dictionary that fits, if any. Without one, typical activations are measured on
            saetask's probe texts.

    Raises:
        UserError: A feature or concept is unknown, the SAE can not be edited with, or, at the end,
            no pass within the context reached its hook point.
    """
    resolved = resolve_edit(model, sae, ablate, steer or {}, dictionary)
    with features_edited(model, sae, resolved.edit):
        yield


class ResolvedEdit(NamedTuple):
    """An edit in the SAE's own unit, and what it is made of."""

    edit: FeatureEdit
    steered: dict[str, list[int]]
    """Features that are moved, by the concept's name as it is shown or the feature's number."""
    ablated: dict[str, list[int]]
    """Features that are set to zero, likewise."""
    typical: dict[int, float]
    """Typical activation of each feature that is moved."""


def resolve_edit(
    model: "Model",
    sae: "SAE[Any]",
    ablate: Sequence[Named],
    steer: Mapping[Named, float],
    dictionary: Dictionary | None = None,
) -> ResolvedEdit:
    """Looks up features, concepts and typical activations; see `edit` for the arguments.

    Raises:
        UserError: A feature or concept is unknown, or a feature's typical activation; or a strength
            is no number or too large.
    """
    check_strengths(steer)
    if dictionary is None:
        dictionary = find_feature_labels(model, sae).dictionary
    else:
        dictionary.check(model, sae)
    ablated = {
        name: list(concept.features)
        for each in ablate
        for name, concept in _concepts(each, sae, dictionary)
    }
    moved = {
        name: (_strongest(concept), strength)
        for each, strength in steer.items()
        for name, concept in _concepts(each, sae, dictionary)
    }
    typical = typical_activations(
        model, sae, sorted({f for features, _ in moved.values() for f in features}), dictionary
    )
    added: dict[int, float] = {}
    for features, strength in moved.values():
        for feature in features:
            added[feature] = added.get(feature, 0.0) + strength * typical[feature]
    off = frozenset(feature for features in ablated.values() for feature in features)
    steered = {name: features for name, (features, _) in moved.items()}
    return ResolvedEdit(FeatureEdit(added, off), steered, ablated, typical)


def check_strengths(steer: Mapping[Named, float]) -> None:
    """Checks strengths, in multiples of typical activations.

    Raises:
        UserError: One is no number, or larger than `LARGEST_STRENGTH`.
    """
    for name, strength in steer.items():
        if not abs(strength) <= LARGEST_STRENGTH:  # which holds for nan, too
            raise UserError(
                f"The strength of {name!r} is {strength:g}; give a multiple of its typical "
                f"activation from -{LARGEST_STRENGTH:g} to {LARGEST_STRENGTH:g}."
            )


def typical_activations(
    model: "Model", sae: "SAE[Any]", features: Sequence[int], dictionary: Dictionary | None = None
) -> dict[int, float]:
    """Returns the mean activation of features on the tokens on which they fire.

    Args:
        model: The model.
        sae: The SAE.
        features: The features.
        dictionary: Where the means over its corpus are looked up; None reads the probe texts.

    Raises:
        UserError: A feature fires nowhere in these texts.
    """
    if not features:
        return {}
    if dictionary is None:
        means, where = _measured(model, sae), "in saetask's probe texts; build a dictionary"
    else:
        means = dictionary.mean_activations()
        where = f"in the corpus of {dictionary.folder}; name another feature"
    for feature in features:
        if not means[feature] > 0:
            raise UserError(f"Feature {feature} never fires {where}.")
    return {feature: float(means[feature]) for feature in features}


def _measured(model: "Model", sae: "SAE[Any]") -> np.ndarray:
    """Returns each feature's mean activation where it fires in the probe texts, `[d_sae]`."""
    rows = [
        read_reconstruction_inputs(model, sae, row) for row in probe_rows(model, reads_bos(sae))
    ]
    total, count = np.zeros(sae.cfg.d_sae), np.zeros(sae.cfg.d_sae)
    for read in encode_rows(sae, [row.inputs for row in rows], [row.kept for row in rows]):
        total += np.bincount(read.features, read.values, minlength=len(total))
        count += np.bincount(read.features, minlength=len(count))
    return total / np.maximum(count, 1)


def _concepts(
    name: Named, sae: "SAE[Any]", dictionary: Dictionary | None
) -> Iterator[tuple[str, Concept]]:
    """Yields the concepts of a name, each with the name as it is shown; of a feature, one of it."""
    if not isinstance(name, str):
        check_features(sae, [name])
        yield f"feature {name}", feature_concept(name, str(name))
        return
    known = [] if dictionary is None else dictionary.concepts()
    if not known:
        none = dictionary is None
        place = "this SAE has no dictionary" if none else f"{dictionary.folder} has none"
        raise UserError(
            f"Concept '{name}': {place}; `saetask dictionary name` names the features of one. "
            "Features are edited by number without."
        )
    found = concepts_named(name, known)
    if not found:
        names = {text for concept in known for text in (concept.id, concept.name)}
        raise UserError(f"There is no concept '{name}'.{did_you_mean(name, names)}")
    for concept in found:
        yield concept.text, concept


def _strongest(concept: Concept) -> list[int]:
    """Returns the features of the largest positive weight in a concept, the largest first."""
    order = np.argsort([-weight for weight in concept.weights], kind="stable")[:STRONGEST]
    return [concept.features[i] for i in order if concept.weights[i] > 0]
