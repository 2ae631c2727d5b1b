"""Contrasts: concepts of the features that fire in labelled examples more than in like ones."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.data.prompts import Span
from saetask.dictionary.concept_table import TriedConcept
from saetask.dictionary.naming.contrast_contexts import contrast_contexts, contrast_words
from saetask.dictionary.naming.examples import Example, asked_prompt, choosing_half
from saetask.dictionary.naming.user_concepts import UserConcept
from saetask.errors import UserError
from saetask.saes.activations import FeatureActivations
from saetask.saes.concepts import Concept, concept_activations
from saetask.saes.extraction import read_features

if TYPE_CHECKING:
    from jaxtyping import Float64
    from scipy.sparse import csr_matrix

    from saetask.data.rendering import RenderedPrompt
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

MIN_Z = 2.0
"""Standard errors by which a feature must fire in more examples than others."""
MIN_AUROC = 0.6
"""Area under the curve that a validated contrast must reach on the tried groups."""
PERMUTATIONS = 200
NULL_QUANTILE = 0.95
SOURCE = "example sentences"


class _Tried(NamedTuple):
    """How well a concept's activation tells examples from others."""

    auroc: float
    null: float
    """The quantile of the same by chance."""


def contrast_concepts(
    concepts: Sequence[UserConcept], model: "Model", sae: "SAE[Any]"
) -> list[TriedConcept]:
    """Returns the concepts of the features that fire in more of the examples than of the others.

    Half of the groups choose the features, the rest try them: a concept is validated if its
    activation tells the two sets apart with an area of `MIN_AUROC` or more, and better than in 95 %
    of permutations of the tried groups.
    Where a word is marked there are two concepts: of the features that fire on the word, and of
    those that fire anywhere in the sentence. Every sentence is read once.

    Args:
        concepts: Concepts with examples.
        model: The model.
        sae: The SAE.

    Raises:
        UserError: A sentence is too long, the groups do not leave examples and others in both
            halves, or no feature tells the two sets apart.
    """
    numbers: dict[tuple[str, Example], int] = {}
    for concept in concepts:
        for example in (*concept.examples, *concept.others):
            numbers.setdefault((concept.asked, example), len(numbers))
    if not numbers:
        return []
    activations = _read(list(numbers), model, sae)
    return [
        _contrast(concept, place, activations, numbers)
        for concept in concepts
        for place in (("target", "text") if concept.is_marked else ("text",))
    ]


def _read(
    wanted: Sequence[tuple[str, Example]], model: "Model", sae: "SAE[Any]"
) -> FeatureActivations:
    """Reads examples, each as it is asked about; every prompt has a region `target`."""
    prompts = [asked_prompt(asked, e) if asked else e.marked.text for asked, e in wanted]
    activations = read_features(model, sae, prompts)
    words = [None if asked else example.marked.word for asked, example in wanted]
    return replace(activations, prompts=list(map(_with_target, activations.prompts, words)))


def _with_target(prompt: "RenderedPrompt", word: Span | None) -> "RenderedPrompt":
    """Returns a prompt with a region `target`: the given word, its own, or else the text."""
    target = word or prompt.regions.get("target", prompt.regions["text"])
    return replace(prompt, regions={**prompt.regions, "target": target})


def _contrast(
    concept: UserConcept,
    place: str,
    activations: FeatureActivations,
    numbers: dict[tuple[str, Example], int],
) -> TriedConcept:
    """Makes the concept of one region of the examples, and tries it."""
    examples = [*concept.examples, *concept.others]
    rows = np.array([numbers[concept.asked, example] for example in examples])
    present = np.arange(len(rows)) < len(concept.examples)
    groups = [example.own_group for example in examples]
    pooled: Any = activations.pooled(place)[rows]
    pooled.data = np.log1p(np.abs(pooled.data))
    chosen = choosing_half(groups, present)
    if not all(0 < present[half].sum() < half.sum() for half in (chosen, ~chosen)):
        raise UserError(
            f"Concept '{concept.name}': its groups do not leave examples and others in two halves; "
            "give more groups, or smaller ones."
        )
    weights = _weights(pooled[chosen], present[chosen])
    features = np.flatnonzero(weights)
    if not len(features):
        raise UserError(
            f"Concept '{concept.name}': no feature fires in more of the examples than of the "
            "others; give more sentences, or clearer ones."
        )
    made = Concept(
        _id(concept, place),
        f"sentences with {concept.name}" if concept.is_marked and place == "text" else concept.name,
        "contrast",
        tuple(features.tolist()),
        tuple(weights[features].tolist()),
        words=contrast_words(activations, rows, present, place, weights),
        examples=(
            contrast_contexts(activations, rows[present], place, weights) if concept.quoted else ()
        ),
        subject="contrast",
    )
    scores = concept_activations(pooled[~chosen], [made])[:, 0]
    held_out = [group for group, is_chosen in zip(groups, chosen) if not is_chosen]
    auroc, null = _area_and_null(scores, present[~chosen], held_out)
    verdict = "validated" if auroc >= MIN_AUROC and auroc > null else "not confirmed"
    held_out_firing = _firing(pooled[~chosen], present[~chosen])
    statistic = float(np.median(held_out_firing.standard_scores[features]))
    return TriedConcept(made._replace(verdict=verdict), SOURCE, statistic, null, auroc)


def _id(concept: UserConcept, place: str) -> str:
    """Returns a concept's id: that of a marked word has `on`, that of its sentence has `in`."""
    if not concept.is_marked:
        return f"contrast:{concept.name}"
    return f"contrast:{'on' if place == 'target' else 'in'}:{concept.name}"


class _Firing(NamedTuple):
    """How often features fire in examples and in others, each `[d_sae]`."""

    present: "Float64[np.ndarray, ' d_sae']"
    """Share of the examples in which a feature fires."""
    absent: "Float64[np.ndarray, ' d_sae']"
    anywhere: "Float64[np.ndarray, ' d_sae']"
    standard_scores: "Float64[np.ndarray, ' d_sae']"
    """Standard errors by which it fires in more of the examples."""


def _firing(pooled: "csr_matrix", present: np.ndarray) -> _Firing:
    fires: Any = pooled > 0
    one, other = (np.asarray(fires[rows].mean(0)).ravel() for rows in (present, ~present))
    share = present.mean() * one + (1 - present.mean()) * other
    variance = np.clip(share * (1 - share), 0, None)
    error = np.sqrt(variance * (1 / present.sum() + 1 / (~present).sum()))
    return _Firing(one, other, share, (one - other) / np.maximum(error, 1e-12))


def _weights(pooled: "csr_matrix", present: np.ndarray) -> "Float64[np.ndarray, ' d_sae']":
    """Returns the weight of each feature in the concept; 0 where it is none of it.

    As in other concepts, it is the share of the uncertainty of the feature's firing that is taken
    away: here by whether a sentence is an example.
    """
    firing, share = _firing(pooled, present), present.mean()
    within = share * _entropy(firing.present) + (1 - share) * _entropy(firing.absent)
    entropy = _entropy(firing.anywhere)
    told = np.maximum(entropy - within, 0) / np.maximum(entropy, 1e-12)
    return np.where(firing.standard_scores >= MIN_Z, told, 0)


def _entropy(share: np.ndarray) -> np.ndarray:
    """Returns the entropy of firing in a share of prompts, in bits."""
    clipped = np.clip(share, 1e-12, 1 - 1e-12)
    return -clipped * np.log2(clipped) - (1 - clipped) * np.log2(1 - clipped)


def _area_and_null(scores: np.ndarray, present: np.ndarray, groups: Sequence[str]) -> _Tried:
    """Returns the area under the curve, and a quantile of those where groups are permuted.

    The labels of a group stay together: sentences about one word are no independent trials.
    """
    from sklearn.metrics import roc_auc_score

    order = np.argsort(groups, kind="stable")
    scores, labels = scores[order], present[order]
    sizes = np.unique(groups, return_counts=True)[1]
    runs = np.split(labels, np.cumsum(sizes)[:-1])
    generator, by_chance = np.random.default_rng(0), []
    for _ in range(PERMUTATIONS):
        moved = np.concatenate([runs[run] for run in generator.permutation(len(runs))])
        by_chance.append(roc_auc_score(moved, scores))
    return _Tried(
        float(roc_auc_score(labels, scores)), float(np.quantile(by_chance, NULL_QUANTILE))
    )
