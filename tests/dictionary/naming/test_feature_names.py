"""A feature gets the predicate that tells most about it, and none where that is chance."""

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from saetask.dictionary.naming.battery import Predicate
from saetask.dictionary.naming.concept_groups import (
    concept_aurocs,
    concept_scores,
    group_features,
    null_aurocs,
)
from saetask.dictionary.naming.feature_names import Evidence, choose_names, gather_evidence

N, NARROW, BROAD = 6000, 0, 1
NOUNS, CONCRETE = "nouns", "concrete things"
PREDICATES = [Predicate(f"on:{n}", str(n), "on", str(n)) for n in range(6)]
generator = np.random.default_rng(0)
HOLDS = np.zeros((N, 6), bool)
HOLDS[:, BROAD] = generator.random(N) < 0.3
HOLDS[:, NARROW] = HOLDS[:, BROAD] & (generator.random(N) < 0.2)
HOLDS[:, 2:] = generator.random((N, 4)) < 0.1
FIRES = np.zeros((N, 30), np.float32)
FIRES[:, :10] = HOLDS[:, [NARROW]] & (generator.random((N, 10)) < 0.6)
FIRES[:, 10:20] = HOLDS[:, [BROAD]] & (generator.random((N, 10)) < 0.6)
FIRES[:, 20:] = generator.random((N, 10)) < 0.05


def evidence(shifted: bool) -> Evidence:
    half = N // 2
    fires, holds = csr_matrix(FIRES), csc_matrix(HOLDS)
    return gather_evidence(fires[:half], fires[half:], holds[:half], holds[half:], shifted)


def test_narrow_features_get_the_narrow_name_though_the_broad_one_covers_them_too() -> None:
    names = choose_names(evidence(False), evidence(True))
    assert (names.predicate[:10] == NARROW).all()
    assert (names.predicate[10:20] == BROAD).all()


def test_features_that_fire_anywhere_get_no_name() -> None:
    names = choose_names(evidence(False), evidence(True))
    assert (names.predicate[20:] == -1).mean() >= 0.9


def test_a_concept_is_the_features_of_its_predicate_and_tells_where_that_holds() -> None:
    groups = group_features(evidence(False), PREDICATES)
    assert (groups.weights[:10, NARROW] > 0).all() and (groups.weights[20:] == 0).all()
    scores = concept_scores(csr_matrix(FIRES), groups.weights)
    areas = concept_aurocs(scores, csc_matrix(HOLDS))
    nulls = null_aurocs(scores, csc_matrix(HOLDS))
    assert areas[NARROW] > 0.95 and areas[BROAD] > 0.95
    assert 0.5 <= nulls[NARROW] < 0.6 and (areas[2:] == 0.5).all()


def test_a_feature_of_any_noun_is_not_one_of_concrete_things() -> None:
    noun, concrete, verb = (Predicate(f"on:{n}", n, "on", n) for n in (NOUNS, CONCRETE, "verbs"))
    holds = np.zeros((N, 3), bool)
    holds[:, 0] = generator.random(N) < 0.3
    holds[:, 1] = holds[:, 0] & (generator.random(N) < 0.3)
    fires = np.zeros((N, 8), np.float32)
    fires[:, :4] = holds[:, [1]] & (generator.random((N, 4)) < 0.6)
    fires[:, 4:] = holds[:, [0]] & (generator.random((N, 4)) < 0.6)
    half, sparse, truth = N // 2, csr_matrix(fires), csc_matrix(holds)
    split = gather_evidence(sparse[:half], sparse[half:], truth[:half], truth[half:])
    groups = group_features(split, [noun, concrete, verb])
    assert (groups.weights[:4, 1] > 0).all()
    assert not groups.weights[4:].any() and not groups.weights[:, [0, 2]].any()
