"""Log-odds of a probe on features, taken apart by concept and by token."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from einops import rearrange

from saetask.detection import ConceptTerms, DetectorInput, strongest_concepts, token_shares
from saetask.saes import Concept

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64


class ProbeColumns(NamedTuple):
    """The columns of a linear probe on features, for one prompt."""

    places: "Int64[np.ndarray, ' column']"
    """Region of each column, as its place in `regions`."""
    features: "Int64[np.ndarray, ' column']"
    values: "Float64[np.ndarray, ' column']"
    """Log-activation in the prompt."""
    usual: "Float64[np.ndarray, ' column']"
    """Mean log-activation in the fit split."""
    weights: "Float64[np.ndarray, 'class column']"


def terms_by_concept(
    detector_input: DetectorInput,
    probe: ProbeColumns,
    bias: "Float64[np.ndarray, ' class']",
    regions: Sequence[str],
    concepts: tuple[Concept, ...],
) -> ConceptTerms:
    """Returns a prompt's log-odds, each feature's part counted to its strongest concept.

    A concept adds what its features add beyond the average prompt of the fit split, as the Shapley
    values of a linear model do (Lundberg and Lee 2017, arXiv 1705.07874, section 4.2): one that
    fires in every prompt tells nothing, and one that is missing can tell much. The part of the
    average prompt goes into the rest.

    Args:
        detector_input: The prompt.
        probe: The probe's columns.
        bias: Its bias.
        regions: The regions that it reads.
        concepts: The concepts.
    """
    n_concepts, d_sae = len(concepts), detector_input.activations.d_sae
    owners = strongest_concepts(concepts, d_sae)[probe.features]
    n_tokens = len(detector_input.activations.prompts[0].token_ids)
    terms = probe.weights * probe.values
    # Of features without a concept what is beyond the average prompt: nothing else takes that off.
    of_tokens = np.where(owners >= 0, terms, terms - probe.weights * probe.usual)
    by_token = np.zeros((n_concepts + 1, n_tokens, len(bias)))  # the owner -1 is the last row
    for place, region in enumerate(regions):
        own = np.flatnonzero((probe.places == place) & (probe.values != 0))
        shares: Any = token_shares(detector_input, region)[:, probe.features[own]].tocoo()
        of_pairs = of_tokens[:, own][:, shares.col] * shares.data
        np.add.at(by_token, (owners[own][shares.col], shares.row), of_pairs.T)
    by_token, without_concept = by_token[:-1], by_token[-1]
    owned = np.flatnonzero(owners >= 0)
    usual = np.zeros((n_concepts, len(bias)))
    activity, usual_activity = np.zeros(n_concepts), np.zeros(n_concepts)
    np.add.at(usual, owners[owned], (probe.weights * probe.usual)[:, owned].T)
    np.add.at(activity, owners[owned], probe.values[owned])
    np.add.at(usual_activity, owners[owned], probe.usual[owned])
    return ConceptTerms(
        log_odds=terms.sum(1) + bias,
        terms=(by_token.sum(1) - usual).T,
        rest=terms[:, owners < 0].sum(1) + usual.sum(0) + bias,
        by_token=rearrange(by_token, "concept token reading -> reading concept token"),
        fires_less=np.flatnonzero(activity < usual_activity).tolist(),
        rest_by_token=without_concept.T,
        activity=activity,
    )
