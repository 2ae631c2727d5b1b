"""A probe that rests on the features of few concepts: its evidence can be told in few names."""

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix, diags

from saetask.detection import LISTED, ownership

from .logistic_probe import LogisticWeights, column_means, fit_logistic

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64


N_CONCEPTS = 8
"""A probe may rest on the features of so many concepts; of 4, 8 and 16 the best on the built-in
items of both tasks."""


def column_scales(
    design: csr_matrix,
    labels: np.ndarray,
    owners: "Int64[np.ndarray, ' column']",
    penalty: tuple[str, float],
    other_scale: float,
) -> "Float64[np.ndarray, ' column']":
    """Returns the factor on each column: 1 for those of the concepts that add most, else smaller.

    An L2 penalty makes scaled-down columns dear. What concepts add is measured in the prompts
    given, by a probe that rests on all concepts.

    Args:
        design: Log-activations, `[n, column]`.
        labels: The right class of each prompt, `[n]`.
        owners: The concept of each column; -1 for none.
        penalty: Penalty and inverse strength C.
        other_scale: The factor on other columns.
    """
    scales = np.where(owners >= 0, 1.0, other_scale)
    probe = fit_logistic(csr_matrix(design @ diags(scales)), labels, penalty)
    terms = concept_terms(design, column_means(design), probe.weights * scales, owners)
    strongest = np.argsort(-np.abs(terms).mean((0, 1)), kind="stable")
    return np.where(np.isin(owners, strongest[:N_CONCEPTS]), 1.0, other_scale)


def listed_shares(
    design: csr_matrix,
    usual: "Float64[np.ndarray, ' column']",
    probe: LogisticWeights,
    owners: "Int64[np.ndarray, ' column']",
) -> "Float64[np.ndarray, ' n']":
    """Returns which share of the evidence for the likeliest class a finding would list.

    That is the sum of |contribution| of the listed concepts, over the same with what they leave
    out, as in `explanation.named_share` of a run.

    Args:
        design: Log-activations of prompts, `[n, column]`.
        usual: Mean of each column in the fit split.
        probe: The probe on them.
        owners: The concept of each column; -1 for none.
    """
    log_odds = probe.log_odds(design)
    rows, chosen = np.arange(len(log_odds)), log_odds.argmax(1)
    terms = concept_terms(design, usual, probe.weights, owners)
    added, total = (_against_others(each)[chosen, rows] for each in (terms, log_odds.T))
    ordered = np.sort(added, axis=1)
    listed = np.hstack([ordered[:, :LISTED].clip(max=0), ordered[:, -LISTED:].clip(min=0)])
    sizes, rest = np.abs(listed).sum(1), np.abs(total - listed.sum(1))
    return sizes / np.maximum(sizes + rest, 1e-12)


def concept_terms(
    design: csr_matrix, usual: np.ndarray, weights: np.ndarray, owners: np.ndarray
) -> "Float64[np.ndarray, 'class n concept']":
    """Returns what each concept adds to each class beyond the average prompt."""
    of_concept = ownership(owners, int(owners.max(initial=-1)) + 1)
    return np.stack(
        [
            (design @ diags(own) @ of_concept).toarray() - (usual * own) @ of_concept
            for own in weights
        ]
    )


def _against_others(values: np.ndarray) -> np.ndarray:
    """Returns each class's values minus the mean of the other classes', along the first axis."""
    return values - (values.sum(0) - values) / (len(values) - 1)
