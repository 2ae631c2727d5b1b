"""What concept-probe chooses its concepts from."""

from saetask_plugins.detectors.concept_selection import candidate_pools
from tests.helpers.planted_concepts import make_concept


def test_groups_alone_and_groups_with_single_features_are_compared_where_there_are_both():
    groups = [make_concept("food", [1, 2]), make_concept("tools", [3])]
    single = make_concept("apple", [1])._replace(id="feature:1")
    pools = candidate_pools([single, *groups])
    assert {name: list(pool) for name, pool in pools.items()} == {
        "groups": [1, 2],
        "all": [0, 1, 2],
    }
    assert list(candidate_pools(groups)) == list(candidate_pools([single])) == ["all"]
