"""What probes take of a prompt: the regions that stand side by side, and log-activations."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from saetask.detection import Reading

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

REGION_SETS = (("text",), ("text", "target"), ("text", "answer"), ("text", "question", "end"))
"""Regions that a probe may take side by side; one of these is chosen on the fit split."""


def region_sets(known: Collection[str]) -> list[tuple[str, ...]]:
    """Returns the sets of regions that a prompt with the known regions has."""
    return [regions for regions in REGION_SETS if all(region in known for region in regions)]


def log_activations(readings: Sequence[Reading], region: str) -> "csr_matrix":
    """Returns a region's log(1 + |strongest activation|), signed, `[n, d_sae]`."""
    from scipy.sparse import csr_matrix, vstack

    rows = csr_matrix(vstack([reading.pooled(region) for reading in readings]))
    rows.data = np.copysign(np.log1p(np.abs(rows.data)), rows.data)
    return rows
