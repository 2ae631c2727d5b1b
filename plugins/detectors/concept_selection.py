"""Choice of a few concepts by the L1 path, and the probe that is fitted on them."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from einops import rearrange, reduce

from saetask import UserError
from saetask.detection import DetectorInput, class_contrast, inner_folds, log_activations
from saetask.saes import Concept, concept_weights

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64

MIN_PROMPTS = 5
"""Minimum number of prompts of the fit split in which a concept fires."""
NO_CONCEPTS = (
    "The detector concept-probe reads concepts of what words mean, and none fires in "
    f"{MIN_PROMPTS} of the prompts that it is fitted on; `saetask dictionary name FOLDER` names "
    "the features of a dictionary."
)
SIZES = (4, 8, 16)
"""Numbers of concepts among which the fit split chooses."""
MOST_CONCEPTS = 16
COMPARED = 100
"""Number of concepts on the path: those whose means differ most between the classes."""
STEPS = 12
"""Penalties of the path, from the weakest C at which any column has a weight."""
WIDEST = 300.0
"""Largest C of the path, as a multiple of the weakest."""


class ConceptSetting(NamedTuple):
    """What the fit split chooses of a concept probe, beside the regions."""

    n_concepts: int
    strength: float
    """Inverse strength C of the L2 penalty."""


class ConceptWeights(NamedTuple):
    """A linear probe on concept activations."""

    weights: "Float64[np.ndarray, 'class region concept']"
    bias: "Float64[np.ndarray, 'class']"

    def log_odds(
        self, design: "Float64[np.ndarray, 'n region concept']"
    ) -> "Float64[np.ndarray, 'n class']":
        """Returns the log-odds of each class, against the rest."""
        columns = rearrange(design, "n region concept -> n (region concept)")
        return columns @ rearrange(self.weights, "c region concept -> (region concept) c") + (
            self.bias
        )


def candidate_concepts(inputs: Sequence[DetectorInput]) -> tuple[Concept, ...]:
    """Returns the concepts to choose from: single features and groups that fire in some prompts.

    Raises:
        UserError: There are none.
    """
    known = [*inputs[0].named_features, *inputs[0].concepts]
    weights = concept_weights(known, inputs[0].activations.d_sae)
    rows: Any = log_activations(inputs, "text")
    n_firing = np.asarray((rows @ abs(weights) > 0).sum(0)).ravel()
    told = [c for c, n in zip(known, n_firing) if n >= MIN_PROMPTS and c.subject == "meaning"]
    if not told:
        raise UserError(NO_CONCEPTS)
    return tuple(told)


def order_of_entry(
    design: "Float64[np.ndarray, 'n region concept']", labels: np.ndarray
) -> "Int64[np.ndarray, 'chosen']":
    """Returns the first concepts that get a weight as an L1 penalty is relaxed, `MOST_CONCEPTS`.

    The path is that of the `COMPARED` concepts whose means differ most between the classes, in
    standard deviations within them: of thousands, most tell nothing. Columns are standardised. A
    concept enters with its first column, in any class's probe; of several that enter at one
    penalty, those with the largest weights are first.

    Args:
        design: Activation of each concept in each region.
        labels: The right class of each prompt, `[n]`.
    """
    from sklearn.svm import l1_min_c

    compared = _most_different(design, labels)
    columns = rearrange(design[:, :, compared], "n region concept -> n (region concept)")
    scale = columns.std(0)
    varying = np.flatnonzero(scale > 0)
    if not len(varying):
        return compared[:1]
    standardised = (columns[:, varying] - columns[:, varying].mean(0)) / scale[varying]
    entered: list[int] = []
    weakest = float(l1_min_c(standardised, labels, loss="log"))
    for strength in weakest * np.geomspace(1.1, WIDEST, STEPS):
        size = np.zeros(columns.shape[1])
        size[varying] = np.abs(_sparse_weights(standardised, labels, strength)).max(0)
        by_concept = reduce(size, "(region concept) -> concept", "max", region=design.shape[1])
        order = np.argsort(-by_concept, kind="stable")
        entered += [int(c) for c in order if by_concept[c] > 0 and c not in entered]
        if len(entered) >= MOST_CONCEPTS:
            break
    return compared[entered[:MOST_CONCEPTS]]


def held_out_by_setting(
    design: "Float64[np.ndarray, 'n region concept']",
    labels: np.ndarray,
    groups: Sequence[str],
    strengths: Sequence[float],
) -> "dict[ConceptSetting, Float64[np.ndarray, 'n class']]":
    """Returns log-odds by setting, of probes that did not see the item's group."""
    n_classes = len(np.unique(labels))
    settings = [ConceptSetting(size, strength) for size in SIZES for strength in strengths]
    held_out = {setting: np.zeros((len(labels), n_classes)) for setting in settings}
    for rows in inner_folds(labels, groups):
        if len(np.unique(labels[rows.fit])) < n_classes:
            continue  # it says nothing, as in `out_of_fold`
        order = order_of_entry(design[rows.fit], labels[rows.fit])
        for setting, log_odds in held_out.items():
            chosen = design[:, :, order[: setting.n_concepts]]
            probe = fit_weights(chosen[rows.fit], labels[rows.fit], setting.strength)
            log_odds[rows.held_out] = probe.log_odds(chosen[rows.held_out])
    return held_out


def _most_different(
    design: "Float64[np.ndarray, 'n region concept']", labels: np.ndarray
) -> "Int64[np.ndarray, 'compared']":
    """Returns the concepts whose mean differs most between a class and the rest, ascending."""
    columns = rearrange(design, "n region concept -> n (region concept)")
    contrasts = [class_contrast(columns, labels == label).contrast for label in np.unique(labels)]
    largest = reduce(
        np.abs(contrasts),
        "label (region concept) -> concept",
        "max",
        region=design.shape[1],
    )
    return np.sort(np.argsort(-largest, kind="stable")[:COMPARED])


def fit_weights(
    design: "Float64[np.ndarray, 'n region concept']", labels: np.ndarray, strength: float
) -> ConceptWeights:
    """Fits one-versus-rest logistic regressions on standardised columns.

    The weights are of the columns as they are: a concept that is silent adds nothing.

    Args:
        design: Activation of each concept in each region.
        labels: The right class of each prompt, `[n]`.
        strength: Inverse strength C of the L2 penalty.
    """
    columns = rearrange(design, "n region concept -> n (region concept)")
    mean, scale = columns.mean(0), columns.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    weights, bias = _l2_weights((columns - mean) / scale, labels, strength)
    weights = weights / scale
    return ConceptWeights(
        rearrange(weights, "c (region concept) -> c region concept", region=design.shape[1]),
        bias - weights @ mean,
    )


def _l2_weights(
    columns: np.ndarray, labels: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns weights `[class, column]` and biases of L2-penalised probes."""
    from sklearn.linear_model import LogisticRegression

    classes = np.unique(labels)
    fits = []
    for label in classes[1:] if len(classes) == 2 else classes:
        model: Any = LogisticRegression(C=strength, max_iter=300)
        model.fit(columns, labels == label)
        fits.append((model.coef_[0], model.intercept_[0]))
    weights, biases = (np.array(values) for values in zip(*fits))
    if len(classes) == 2:  # the other class is the same probe, turned round
        return np.concatenate([-weights, weights]), np.concatenate([-biases, biases])
    return weights, biases


def _sparse_weights(columns: np.ndarray, labels: np.ndarray, strength: float) -> np.ndarray:
    """Returns the weights of L1-penalised probes, `[class or 1, column]`."""
    from sklearn.linear_model import LogisticRegression

    classes = np.unique(labels)
    weights = []
    for label in classes[1:] if len(classes) == 2 else classes:
        model: Any = LogisticRegression(
            C=strength, l1_ratio=1.0, solver="liblinear", random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(columns, labels == label)
        weights.append(model.coef_[0])
    return np.array(weights)
