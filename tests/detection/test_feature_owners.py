"""Each feature counts to one concept: that of its largest weight, of meanings first."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from saetask.detection.feature_owners import owned_concepts, strongest_concepts
from tests.helpers.planted_concepts import make_concept

seeds = st.integers(0, 2**32 - 1)


def test_a_wide_class_and_then_a_contrast_come_after_a_meaning_and_before_a_form():
    concepts = (
        make_concept("form", [0, 1, 2, 4], weights=(0.9,) * 4)._replace(subject="form"),
        make_concept("contrast", [0, 1, 3, 4], weights=(0.5,) * 4)._replace(subject="contrast"),
        make_concept("meaning", [0, 2], weights=(0.95, 0.1))._replace(subject="meaning"),
        make_concept("wide", [0, 4], weights=(0.99, 0.1))._replace(wide=True),
    )
    assert strongest_concepts(concepts, 6).tolist() == [2, 1, 0, 1, 3, -1]


@given(seeds)
def test_a_feature_counts_to_the_concept_of_its_largest_weight(seed):
    generator = np.random.default_rng(seed)
    concepts = []
    for i in range(5):
        features = generator.choice(12, 6, replace=False).tolist()
        weights = tuple(generator.choice([-2.0, 0.5, 1.0], 6).tolist())
        concepts.append(make_concept(f"c{i}", features, weights=weights))
    owners = strongest_concepts(tuple(concepts), 12)
    for feature in range(12):
        sizes = [
            max((abs(w) for f, w in zip(c.features, c.weights) if f == feature), default=0.0)
            for c in concepts
        ]
        assert owners[feature] == (int(np.argmax(sizes)) if any(sizes) else -1)
    owned = owned_concepts(tuple(concepts), 12)
    for number, (whole, own) in enumerate(zip(concepts, owned, strict=True)):
        assert set(own.features) == set(np.flatnonzero(owners == number).tolist())
        assert set(zip(own.features, own.weights)) <= set(zip(whole.features, whole.weights))
