"""Inputs of probes: which regions of a prompt stand side by side, and their log-activations.

Where a prompt has a word in two places (the spans `target` and `other`), two further regions
compare them, feature by feature: `shared` is what both have, `apart` how much they differ. A linear
probe on the two places side by side can not detect whether they are alike.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from saetask.detection.base import DetectorInput

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PLACES, COMPARED = ("target", "other"), ("shared", "apart")


@dataclass(frozen=True)
class ProbeConfig:
    """Settings among which probes choose on the fit split, by grouped inner cross-validation."""

    region_sets: Sequence[tuple[str, ...]] = (
        ("text",),
        ("text", "target"),
        ("text", "answer"),
        ("text", "question", "end"),
        COMPARED,
    )
    """Regions that stand side by side; a prompt need not have all of them."""
    penalties: Sequence[tuple[str, float]] = (("l2", 0.003), ("l2", 0.03), ("l1", 0.3))
    """Penalty and inverse strength C of a probe on features; L1 gives a short list of features."""
    dense_strengths: Sequence[float] = (0.0003, 0.003, 0.03)
    """Inverse strengths C of the L2 penalty of a probe on raw activations."""
    other_scales: Sequence[float] = (0.5,)
    """Factors on the activations of features that are of none of the few concepts that a probe
    rests on: the smaller, the more of its evidence can be told. At 0.25 it tells less on MOH-X."""
    undescribed_scale: float = 0.25
    """Factor on what a feature adds on words that its name does not describe, chosen on the
    built-in items: the smallest at which probes tell readings as well."""


DEFAULT_PROBE = ProbeConfig()


def usable_region_sets(
    region_sets: Sequence[tuple[str, ...]], known: Collection[str]
) -> list[tuple[str, ...]]:
    """Returns those of the sets of regions that a prompt with the known regions has."""
    at_hand = {*known, *(COMPARED if set(PLACES) <= set(known) else ())}
    return [regions for regions in region_sets if at_hand.issuperset(regions)]


def log_activations(inputs: Sequence[DetectorInput], region: str) -> "csr_matrix":
    """Returns a region's log(1 + |strongest activation|), signed, `[n, d_sae]`.

    Of `shared`, the lesser of a feature's two values where they agree in sign; of `apart`, the size
    of their difference.
    """
    from scipy.sparse import csr_matrix, vstack

    if region in COMPARED:
        one, two = (log_activations(inputs, place) for place in PLACES)
        return shared_part(one, two) if region == "shared" else csr_matrix(abs(one - two))
    rows = csr_matrix(vstack([detector_input.pooled(region) for detector_input in inputs]))
    rows.data = np.copysign(np.log1p(np.abs(rows.data)), rows.data)
    return rows


def shared_part(one: "csr_matrix", two: "csr_matrix") -> "csr_matrix":
    """Returns of each pair of entries the lesser in size where they agree in sign, else zero."""
    from scipy.sparse import csr_matrix

    return csr_matrix(one.minimum(two).maximum(0) + one.maximum(two).minimum(0))


def tokens_read(detector_input: DetectorInput, regions: Sequence[str]) -> list[int]:
    """Returns the tokens of a prompt that lie in some regions, ascending."""
    prompt = detector_input.activations.prompts[0]
    places = {place for region in regions for place in _places(region)}
    return sorted({token for place in places for token in prompt.tokens_in(prompt.regions[place])})


def token_shares(detector_input: DetectorInput, region: str) -> "csr_matrix":
    """Returns to which tokens each feature's activation in a region is owed, `[token, d_sae]`.

    That is the token on which it fires most; of `shared` and `apart`, that of each of the two
    places, with half of it. A column adds up to 1, or to 0 where the feature is silent.
    """
    from scipy.sparse import csr_matrix

    activations = detector_input.activations
    prompt, indptr = activations.prompts[0], activations.indptr
    rows, columns = [], []
    for place in _places(region):
        read = prompt.tokens_in(prompt.regions[place])
        firings = np.concatenate([np.arange(0), *(np.arange(*indptr[[t, t + 1]]) for t in read)])
        tokens = np.repeat(read, [indptr[t + 1] - indptr[t] for t in read]).astype(np.int64)
        order = np.argsort(-np.abs(activations.values[firings]), kind="stable")
        features, first = np.unique(activations.features[firings][order], return_index=True)
        rows.append(tokens[order][first])
        columns.append(features)
    found = np.concatenate(columns)
    shares = 1 / np.bincount(found, minlength=activations.d_sae)[found]
    shape = (len(prompt.token_ids), activations.d_sae)
    return csr_matrix((shares, (np.concatenate(rows), found)), shape=shape)


def _places(region: str) -> tuple[str, ...]:
    """Returns the spans of a prompt that a region is made of."""
    return PLACES if region in COMPARED else (region,)


def raw_activations(inputs: Sequence[DetectorInput], region: str) -> np.ndarray:
    """Returns a region's mean raw activation, `[n, d_in]`.

    Of `shared`, the product of the two places' means; of `apart`, the size of their difference.
    """
    if region in COMPARED:
        one, two = (raw_activations(inputs, place) for place in PLACES)
        return one * two if region == "shared" else np.abs(one - two)
    return np.stack([detector_input.raw[region] for detector_input in inputs])
