"""Concepts of the planted readings: one for each reading, and others of features by chance."""

from dataclasses import replace

import numpy as np

from saetask.saes import Concept
from tests.helpers.planted_readings import D_SAE, PLANTED, PlantedSample

N_OTHERS = 30


def make_concept(id, features, verdict="validated", weights=None):
    """Returns a concept with one telling word and four examples."""
    examples = tuple(f"example {i} of «{id}»" for i in range(4))
    weights = weights or (1.0,) * len(features)
    return Concept(f"on:{id}", id, "on", tuple(features), weights, verdict, ("word",), examples)


def planted_concepts():
    """Returns a concept for each reading, and thirty that tell nothing."""
    planted = [feature for features in PLANTED.values() for feature in features]
    others = np.setdiff1d(np.arange(D_SAE), planted)
    groups = np.random.default_rng(0).permutation(others)[: 4 * N_OTHERS].reshape(N_OTHERS, 4)
    return (
        *(make_concept(f"reading {reading}", features) for reading, features in PLANTED.items()),
        *(make_concept(f"other {i}", group.tolist()) for i, group in enumerate(groups)),
    )


CONCEPTS = planted_concepts()


def conceptual_sample(*args, concepts=CONCEPTS, **options):
    """Returns planted readings whose features have concepts; see `PlantedSample`."""
    sample = PlantedSample(*args, **options)
    sample.readings = [replace(reading, concepts=concepts) for reading in sample.readings]
    return sample


def sum_of_parts(found):
    """Returns what a misunderstanding's log-odds should be."""
    return found.rest + sum(concept.contribution for concept in found.concepts)
