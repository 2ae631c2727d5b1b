"""Of settings that tell as much, the one whose evidence can be told is chosen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from saetask.detection import LISTED, held_out_loss, inner_folds
from saetask_plugins.detectors.concept_preference import (
    N_CONCEPTS,
    column_scales,
    concept_terms,
    listed_shares,
)
from saetask_plugins.detectors.logistic_probe import LogisticWeights, fit_logistic
from saetask_plugins.detectors.probe_choice import (
    ProbeData,
    ProbeSetting,
    ProbeTrial,
    best_trial,
    most_readable,
    try_setting,
)

PENALTY = ("l2", 0.03)
settings = st.just(ProbeSetting(("text",), PENALTY))
trials = st.lists(
    st.builds(
        ProbeTrial,
        settings,
        st.just(np.zeros((2, 2))),
        st.floats(0.1, 2.0),
        st.floats(0.0, 0.2),
        st.sampled_from([0.0, 0.3, 0.6, 0.9]),
    ),
    min_size=1,
)


def planted(n_classes: int, seed: int = 0) -> ProbeData:
    """Returns prompts in which eight of twelve concepts tell the class, some of them more."""
    generator = np.random.default_rng(seed)
    labels = np.arange(120) % n_classes
    design = generator.random((120, 60)) * (generator.random((120, 60)) < 0.5)
    owners = np.repeat(np.arange(12), 5)
    owners[50:] = -1
    for row, label in enumerate(labels):
        for concept in range(label, N_CONCEPTS, n_classes):
            design[row, 5 * concept : 5 * concept + 5] += 1
    groups = [f"g{row // 4}" for row in range(120)]
    return ProbeData(csr_matrix(design), labels, groups, np.arange(0, 120, 2), owners)


@given(trials)
def test_what_is_chosen_is_as_good_as_the_best_and_nothing_as_good_is_more_readable(given_trials):
    best, chosen = best_trial(given_trials), most_readable(given_trials)
    limit = best.loss + best.standard_error
    assert chosen.loss <= limit
    for other in given_trials:
        if other.loss <= limit:
            assert (-chosen.listed_share, chosen.loss) <= (-other.listed_share, other.loss)


def test_a_trial_has_the_mean_loss_of_own_prompts_and_its_standard_error():
    data = planted(2)
    trial = try_setting(data, ProbeSetting(("text",), PENALTY))
    each = [held_out_loss(trial.log_odds[[i]], data.labels[[i]]) for i in data.own]
    assert trial.loss == pytest.approx(np.mean(each))
    assert trial.standard_error == pytest.approx(np.std(each, ddof=1) / np.sqrt(len(each)))
    assert trial.listed_share == 0.0
    for fit, held_out in inner_folds(data.labels, data.groups):
        probe = fit_logistic(csr_matrix(data.design[fit]), data.labels[fit], PENALTY)
        expected = probe.log_odds(data.design[held_out])
        assert trial.log_odds[held_out] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_concepts_that_tell_are_preferred_and_all_others_scaled_down(n_classes):
    data = planted(n_classes)
    scales = column_scales(data.design, data.labels, data.owners, PENALTY, 0.25)
    assert scales.tolist() == [1.0] * 5 * N_CONCEPTS + [0.25] * (60 - 5 * N_CONCEPTS)


def test_a_probe_that_rests_on_concepts_gives_weights_of_the_columns_as_they_are():
    data, setting = planted(2), ProbeSetting(("text",), PENALTY, 0.25)
    rows, columns = np.arange(120), np.arange(60)
    scales = np.where(np.arange(60) < 5 * N_CONCEPTS, 1.0, 0.25)
    scaled = fit_logistic(csr_matrix(data.design.toarray() * scales), data.labels, PENALTY)
    probe = data.fit(rows, columns, setting)
    assert probe.weights == pytest.approx(scaled.weights * scales)
    assert probe.log_odds(data.design) == pytest.approx(
        scaled.log_odds(csr_matrix(data.design.toarray() * scales))
    )


@pytest.mark.parametrize("n_classes", [2, 4])
def test_listed_shares_are_those_of_findings_one_by_one(n_classes):
    generator, data = np.random.default_rng(3), planted(n_classes)
    probe = LogisticWeights(
        generator.normal(size=(n_classes, 60)), generator.normal(size=n_classes)
    )
    usual = generator.random(60)
    terms = concept_terms(data.design, usual, probe.weights, data.owners)
    shares = listed_shares(data.design, usual, probe, data.owners)
    for row, values in enumerate(data.design.toarray()[:20]):
        log_odds = probe.weights @ values + probe.bias
        chosen = int(log_odds.argmax())
        against = probe.weights[chosen] - np.delete(probe.weights, chosen, 0).mean(0)
        added = [(against * (values - usual))[data.owners == c].sum() for c in range(10)]
        own = terms[chosen, row] - np.delete(terms[:, row], chosen, 0).mean(0)
        assert own[:10] == pytest.approx(added)
        listed = sorted(a for a in added if a < 0)[:LISTED]
        listed += sorted(a for a in added if a > 0)[-LISTED:]
        total = log_odds[chosen] - np.delete(log_odds, chosen).mean()
        sizes, rest = np.abs(listed).sum(), abs(total - sum(listed))
        assert shares[row] == pytest.approx(sizes / (sizes + rest))
