"""What probes take of a prompt: the regions that stand side by side, and log-activations.

Where a prompt has a word in two places (the spans `target` and `other`), two further regions
compare them, feature by feature: `shared` is what both have, `apart` how much they differ. A linear
probe on the two places side by side can not tell whether they are alike.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from saetask.detection.base import DetectorInput

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PLACES, COMPARED = ("target", "other"), ("shared", "apart")
REGION_SETS = (
    ("text",),
    ("text", "target"),
    ("text", "answer"),
    ("text", "question", "end"),
    COMPARED,
)
"""Regions that a probe may take side by side; one of these is chosen on the fit split."""


def region_sets(known: Collection[str]) -> list[tuple[str, ...]]:
    """Returns the sets of regions that a prompt with the known regions has."""
    at_hand = {*known, *(COMPARED if set(PLACES) <= set(known) else ())}
    return [regions for regions in REGION_SETS if at_hand.issuperset(regions)]


def log_activations(readings: Sequence[DetectorInput], region: str) -> "csr_matrix":
    """Returns a region's log(1 + |strongest activation|), signed, `[n, d_sae]`.

    Of `shared`, the lesser of a feature's two values where they agree in sign; of `apart`, the size
    of their difference.
    """
    from scipy.sparse import csr_matrix, vstack

    if region in COMPARED:
        one, two = (log_activations(readings, place) for place in PLACES)
        return shared_part(one, two) if region == "shared" else csr_matrix(abs(one - two))
    rows = csr_matrix(vstack([reading.pooled(region) for reading in readings]))
    rows.data = np.copysign(np.log1p(np.abs(rows.data)), rows.data)
    return rows


def shared_part(one: "csr_matrix", two: "csr_matrix") -> "csr_matrix":
    """Returns of each pair of entries the lesser in size where they agree in sign, else zero."""
    from scipy.sparse import csr_matrix

    return csr_matrix(one.minimum(two).maximum(0) + one.maximum(two).minimum(0))


def raw_activations(readings: Sequence[DetectorInput], region: str) -> np.ndarray:
    """Returns a region's mean raw activation, `[n, d_in]`.

    Of `shared`, the product of the two places' means; of `apart`, the size of their difference.
    """
    if region in COMPARED:
        one, two = (raw_activations(readings, place) for place in PLACES)
        return one * two if region == "shared" else np.abs(one - two)
    return np.stack([reading.raw[region] for reading in readings])
