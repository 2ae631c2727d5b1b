"""The random dictionary that stands in for an SAE, to tell what any directions would find."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from saetask.data.corpus import TokenRow
from saetask.data.rendering import RenderedPrompt
from saetask.discovery.reading import Reader
from saetask.experiments.known_concepts import random_groups
from saetask.saes.extraction import extract_in_batches
from saetask.saes.random_sae import CALIBRATION_ROWS, random_sae

if TYPE_CHECKING:
    from saetask.models.loading import Model


def random_reader(
    model: "Model", reader: Reader, rendered: Sequence[RenderedPrompt], seed: int
) -> Reader:
    """Returns a random SAE whose features are active as often, with random groups as concepts.

    Groups are as large as the concepts, of features that are active on some of the prompts.

    Args:
        model: The model.
        reader: The SAE and its concepts.
        rendered: Prompts of the log; the first ones set the thresholds.
        seed: Seed of directions and groups.
    """
    first = rendered[:CALIBRATION_ROWS]
    rows = [TokenRow("log", str(i), prompt.token_ids) for i, prompt in enumerate(first)]
    control = random_sae(model, reader.sae, rows, seed)
    batches = extract_in_batches(model, [control], first)
    live = np.unique(np.concatenate([batch.features[0].features for batch in batches]))
    groups = random_groups(reader.concepts, live, control.cfg.d_sae, np.random.default_rng(seed))
    return Reader(control, groups)
