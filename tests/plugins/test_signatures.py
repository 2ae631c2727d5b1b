"""Contrastive signatures: what sets the prompts of a class apart, and how a prompt compares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.detection import DetectorInput
from saetask_plugins.detectors import signatures
from saetask_plugins.detectors.signatures import (
    Signatures,
    choose_size,
    fit_signatures,
    strongest_evidence,
)
from tests.helpers.planted_readings import D_SAE, PLANTED, REGIONS, PlantedSample, activations


def reading(firings):
    """A prompt whose target has these firings."""
    return DetectorInput(activations({2: firings}, REGIONS), "", {}, {})


@pytest.fixture(scope="module")
def planted():
    return PlantedSample()


@pytest.fixture(scope="module")
def learnt(planted):
    labels = np.array([gold == "b" for gold in planted.golds]).astype(int)
    return fit_signatures(planted.readings, labels, "target", 4)


def test_a_signature_holds_what_the_class_has_and_what_it_lacks(learnt):
    assert learnt.features.tolist() == sorted([*PLANTED["a"], *PLANTED["b"]])
    for name, row in zip("ab", learnt.contrasts, strict=True):
        assert set(learnt.features[row > 0]) == set(PLANTED[name])
    assert learnt.contrasts[0] == pytest.approx(-learnt.contrasts[1])  # of two classes


def test_an_unsigned_signature_holds_what_the_class_has_and_nothing_else(planted):
    labels = np.array([gold == "b" for gold in planted.golds]).astype(int)
    found = fit_signatures(planted.readings, labels, "target", 2, signed=False)
    assert (found.contrasts >= 0).all()
    for name, row in zip("ab", found.contrasts, strict=True):
        assert set(found.features[row > 0]) == set(PLANTED[name])


def test_contrasts_are_differences_of_means_in_pooled_standard_deviations():
    generator = np.random.default_rng(0)
    labels = np.array([0, 1, 2] * 8)
    values = generator.gamma(2.0, size=(24, 5)) * (generator.random((24, 5)) < 0.7)
    rows = [reading({f: v for f, v in enumerate(row) if v}) for row in values.tolist()]
    found = fit_signatures(rows, labels, "target", D_SAE)
    logs = np.log1p(values)
    means = np.array([logs[labels == c].mean(0) for c in range(3)])
    deviations = np.sqrt(((logs - means[labels]) ** 2).sum(0) / 21)
    others = np.array([np.delete(means, c, axis=0).mean(0) for c in range(3)])
    expected = (means - others) / (deviations + np.median(deviations))
    assert found.contrasts == pytest.approx(expected, rel=1e-4)


def test_features_that_fire_in_two_prompts_only_are_no_part_of_a_signature():
    rows = [reading({1: 3.0, 5: 9.0} if i < 2 else {1: 3.0 + i % 3}) for i in range(12)]
    found = fit_signatures(rows, np.array([0] * 6 + [1] * 6), "target", 10)
    assert 5 not in found.features


def test_prompts_without_firings_have_empty_signatures_and_say_nothing():
    rows = [reading({}) for _ in range(6)]
    found = fit_signatures(rows, np.array([0, 1] * 3), "target", 10)
    assert found.features.tolist() == []
    assert found.log_odds(rows).tolist() == [[0.0, 0.0]] * 6
    assert found.evidence(rows[0], 0, 1.0, 5) == []


FIRINGS = st.dictionaries(st.integers(0, D_SAE - 1), st.floats(-50, 50).filter(bool), max_size=8)


@given(FIRINGS)
def test_log_odds_are_the_cosines_with_each_signature(firings):
    contrasts = np.random.default_rng(0).normal(size=(3, 40))
    found = Signatures("target", np.arange(0, 120, 3), contrasts).log_odds([reading(firings)])
    row = np.zeros(D_SAE)
    for feature, value in firings.items():
        row[feature] = np.copysign(np.log1p(abs(value)), value)
    full = np.zeros((3, D_SAE))
    full[:, np.arange(0, 120, 3)] = contrasts
    lengths = np.linalg.norm(full, axis=1) * max(np.linalg.norm(row), 1e-12)
    assert found[0] == pytest.approx(full @ row / lengths, abs=1e-5)


def test_the_parts_of_the_evidence_add_up_to_the_difference_in_log_odds(planted, learnt):
    for one in planted.readings[:20]:
        cosines = learnt.log_odds([one])[0]
        for scale in (3.0, -3.0):
            found = [e for c in (0, 1) for e in learnt.evidence(one, c, scale, D_SAE)]
            adds = {e.id: e.weight * np.log1p(e.activation) for e in found}
            signs = {e.id: 1 if e in learnt.evidence(one, 0, scale, D_SAE) else -1 for e in found}
            total = sum(signs[feature] * value for feature, value in adds.items())
            assert total == pytest.approx(scale * (cosines[0] - cosines[1]), abs=1e-5)


def test_moved_signatures_look_at_the_replacements(learnt):
    moved = learnt.moved({7: 107, 11: 111})
    assert moved.features.tolist() == [107, 111, 23, 42]
    one, other = reading({7: 4.0, 3: 1.0}), reading({107: 4.0, 3: 1.0})
    assert moved.log_odds([other]) == pytest.approx(learnt.log_odds([one]))


def test_the_chosen_size_is_the_one_that_tells_held_out_prompts_best(planted, monkeypatch):
    labels = np.array([gold == "b" for gold in planted.golds]).astype(int)
    monkeypatch.setattr(signatures, "SIZES", (3, 7, 9))

    def log_odds(fit, held_out, size):
        assert not {planted.groups[i] for i in fit} & {planted.groups[i] for i in held_out}
        right = np.eye(2)[labels[held_out]]
        return right if size == 7 else np.zeros_like(right)

    found = choose_size(labels, planted.groups, log_odds)
    assert found.size == 7
    assert (found.log_odds.argmax(1) == labels).all()


def test_evidence_is_ordered_and_leaves_out_what_adds_nothing():
    values = np.log1p(np.array([1.0, 0.0, 5.0, 2.0]))
    found = strongest_evidence(np.array([4, 5, 6, 7]), values, np.array([0.5, 9.0, 0.4, -1.0]), 3)
    assert [e.id for e in found] == [6, 4]
    assert found[0].activation == pytest.approx(5.0)
