import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from saetask.discovery.splitting import split

groups_and_failures = st.lists(
    st.tuples(st.integers(0, 20), st.sampled_from([0.0, 0.5, 1.0])), min_size=4, max_size=80
)


@given(rows=groups_and_failures, seed=st.integers(0, 99))
def test_every_prompt_is_in_one_half_and_no_group_in_both(rows, seed):
    groups = [str(group) for group, _ in rows]
    halves = split(np.array([failure for _, failure in rows]), groups, 0.5, seed)
    assert sorted([*halves.discovery, *halves.confirmation]) == list(range(len(rows)))
    parts = [{groups[i] for i in half} for half in halves]
    assert not parts[0] & parts[1]


def test_halves_of_single_prompts_have_the_same_size_and_failure_rate():
    failures = (np.random.default_rng(0).random(201) < 0.3).astype(float)
    halves = split(failures, [str(i) for i in range(201)], 0.5, 1)
    assert abs(len(halves.discovery) - len(halves.confirmation)) <= 1
    assert abs(failures[halves.discovery].sum() - failures[halves.confirmation].sum()) <= 1


def test_the_share_is_that_of_the_prompts_and_the_seed_changes_which():
    failures, groups = np.zeros(300), [str(i // 3) for i in range(300)]
    one, other = (split(failures, groups, 0.3, seed).discovery for seed in (0, 1))
    assert len(one) == len(other) == 90 and set(one.tolist()) != set(other.tolist())
