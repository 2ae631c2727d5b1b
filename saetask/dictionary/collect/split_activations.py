"""An SAE whose labels are made and tried: the one that a dictionary describes, or a control."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from saetask.dictionary.collect.contexts import ActivationIndex, strong_floors
from saetask.dictionary.collect.corpus_pass import load_samples
from saetask.dictionary.collect.neighbours import Neighbours


class SplitActivations(NamedTuple):
    """An SAE's firings on the documents of each split."""

    learning: ActivationIndex
    """Build documents: labels are made from them."""
    selection: ActivationIndex
    """Documents held back for choosing."""
    test: ActivationIndex
    """Documents that no label was made from."""
    neighbours: np.ndarray
    """The nearest other feature of each by direction, `[d_sae]`."""


def load_split_activations(folder: Path, name: str, directions: Neighbours) -> SplitActivations:
    """Reads the firings that a build has kept.

    Args:
        folder: The dictionary's folder.
        name: Whose: the SAE's (`OWN`) or the `CONTROL`'s.
        directions: Its features' neighbours by direction.

    Raises:
        UserError: The folder's `work/` is gone.
    """
    samples = load_samples(folder, name, len(directions.features))
    floors = strong_floors(samples["train"])
    learning, selection, test = (
        ActivationIndex(samples[split], floors) for split in ("train", "selection", "test")
    )
    return SplitActivations(learning, selection, test, directions.features[:, 0])
