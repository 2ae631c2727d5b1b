"""An SAE whose labels are made and tried: the one that a dictionary describes, or a control."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from saetask.dictionary.collect.contexts import FiringIndex, strong_floors
from saetask.dictionary.collect.corpus_pass import load_samples
from saetask.dictionary.collect.neighbours import Neighbours


class Subject(NamedTuple):
    """An SAE's firings on the documents of each split."""

    learning: FiringIndex
    """Build documents: labels are made from them."""
    selection: FiringIndex
    """Documents held back for choosing."""
    test: FiringIndex
    """Documents that no label was made from."""
    neighbours: np.ndarray
    """The nearest other feature of each by direction, `[d_sae]`."""


def read_subject(folder: Path, name: str, directions: Neighbours) -> Subject:
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
        FiringIndex(samples[split], floors) for split in ("train", "selection", "test")
    )
    return Subject(learning, selection, test, directions.features[:, 0])
