"""SAE credit: what saetask adds to the better of two pipelines that need no trained SAE."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.experiments.control_detectors import RANDOM_SAES
from saetask.experiments.credit import sae_credit
from saetask.utils.statistics import compare

GROUPS = [f"g{i // 3}" for i in range(18)]
SIX_GROUPS = st.lists(st.booleans(), min_size=18, max_size=18).map(np.array)


def answers(share, seed, n=18):
    """Returns which of some answers are right."""
    return np.random.default_rng(seed).random(n) < share


def made_up(n_dictionaries=3, dense=0.5, random=0.5):
    """Returns the right answers of saetask, of the dense probe and of random dictionaries."""
    arms = {"saetask": answers(0.7, 0), "dense-probe": answers(dense, 1)}
    return arms | {
        name: answers(random, 2 + i) for i, name in enumerate(RANDOM_SAES[:n_dictionaries])
    }


def slow_p(differences, groups):
    """Returns the share of all sign flips of whole groups with as large a mean, two-sided."""
    sums = [sum(d for d, g in zip(differences, groups) if g == group) for group in set(groups)]
    observed = abs(sum(sums))
    flipped = [
        abs(sum(sign * each for sign, each in zip(signs, sums)))
        for signs in product((1, -1), repeat=len(sums))
    ]
    return np.mean([value >= observed - 1e-9 for value in flipped])


def test_an_item_counts_as_the_share_of_the_random_dictionaries_that_are_right():
    arms = made_up(dense=0.0)
    mean = np.mean([arms[name] for name in RANDOM_SAES], axis=0)
    assert set(mean) - {0.0, 1.0}  # the differences are fractions
    credit = sae_credit(arms, {}, GROUPS, 0)
    assert (credit.over, credit.n_dictionaries) == ("random-sae", 3)
    assert credit.difference == pytest.approx(arms["saetask"].mean() - mean.mean())
    assert credit.ci95[0] <= credit.difference <= credit.ci95[1]


@pytest.mark.parametrize(
    ("dense", "random", "over"), [(0.9, 0.3, "dense-probe"), (0.2, 0.8, "random-sae")]
)
def test_it_is_over_the_better_of_the_two(dense, random, over):
    arms = made_up(dense=dense, random=random)
    credit = sae_credit(arms, {}, GROUPS, 0)
    assert credit.over == over
    rates = {name: arms[name].mean() for name in ("dense-probe", *RANDOM_SAES)}
    best = max(rates["dense-probe"], np.mean([rates[name] for name in RANDOM_SAES]))
    assert credit.difference == pytest.approx(arms["saetask"].mean() - best)


@given(SIX_GROUPS, SIX_GROUPS, SIX_GROUPS, SIX_GROUPS)
def test_its_p_value_is_that_of_all_flips_of_whole_groups_corrected_over_the_two(
    own, dense, first, second
):
    arms = {"saetask": own, "dense-probe": dense, "random-sae": first, "random-sae-2": second}
    credit = sae_credit(arms, {}, GROUPS, 0)
    p_values = {
        "dense-probe": slow_p(own.astype(float) - dense, GROUPS),
        "random-sae": slow_p(own - (first + second.astype(float)) / 2, GROUPS),
    }
    smaller, larger = sorted(p_values.values())
    holm = {smaller: min(1.0, 2 * smaller), larger: max(larger, min(1.0, 2 * smaller))}
    assert credit.holm_p == pytest.approx(holm[p_values[credit.over]])


def test_with_items_that_are_groups_of_their_own_it_is_mcnemars_test_of_one_dictionary():
    arms = {
        name: answers(share, i, 13)
        for i, (name, share) in enumerate(
            [("saetask", 0.9), ("dense-probe", 0.0), ("random-sae", 0.4)]
        )
    }
    groups = [str(i) for i in range(13)]
    credit = sae_credit(arms, {}, groups, 0)
    assert credit.over == "random-sae"
    mcnemar = {
        name: compare(arms[name], arms["saetask"], groups, 0).mcnemar_p
        for name in ("dense-probe", "random-sae")
    }
    assert slow_p(arms["saetask"].astype(float) - arms["random-sae"], groups) == pytest.approx(
        mcnemar["random-sae"]
    )
    doubled = min(1.0, 2 * min(mcnemar.values()))
    assert credit.holm_p == pytest.approx(max(doubled, mcnemar["random-sae"]))


def test_every_dictionary_that_was_run_counts():
    arms = made_up(dense=0.0)
    del arms["random-sae-2"]
    credit = sae_credit(arms, {}, GROUPS, 0)
    mean = (arms["random-sae"].astype(float) + arms["random-sae-3"]).mean() / 2
    assert credit.n_dictionaries == 2
    assert credit.difference == pytest.approx(arms["saetask"].mean() - mean)


@pytest.mark.parametrize("missing", ["dense-probe", "random-sae"])
def test_without_either_of_the_two_there_is_none(missing):
    arms = {k: v for k, v in made_up(1).items() if k != missing}
    assert sae_credit(arms, made_up(1), GROUPS, 0) is None
    assert sae_credit(made_up(1), arms, GROUPS, 0).raw is None


def test_raw_answers_have_a_credit_of_their_own_over_a_rival_of_their_own():
    calibrated, raw = made_up(dense=0.9, random=0.3), made_up(1, dense=0.2, random=0.8)
    credit = sae_credit(calibrated, raw, GROUPS, 0)
    by_raw = sae_credit(raw, {}, GROUPS, 0)
    assert (credit.over, credit.raw.over) == ("dense-probe", "random-sae")
    assert credit.raw.to_json() == by_raw.to_json()
    without = sae_credit(calibrated, {}, GROUPS, 0).to_json()
    assert {k: v for k, v in credit.to_json().items() if k != "raw"} == without
