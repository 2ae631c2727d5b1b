"""Steering: what is moved, how far, and that nothing but the fit split decides it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from saetask.data.rendering import render
from saetask.experiments.steering import (
    FEATURES,
    STEERING_ARMS,
    STRENGTHS,
    fit_steering,
    read_targets,
    reading_amounts,
)
from saetask.experiments.steering_arms import steered, steered_for_fit, unsteerable
from saetask.inference.client import ModelClient
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.touch_task import NO_BASELINE, make_lab


@pytest.fixture(scope="module")
def lab(tiny_model, tiny_sae):
    lab = make_lab(tiny_model, tiny_sae, QuickProbe, n_items=60, settings=NO_BASELINE)
    return replace(lab, context=replace(lab.context, client=ModelClient(tiny_model)))


@pytest.fixture(scope="module")
def state(lab):
    return lab.fit_fold(controls=STEERING_ARMS)


@pytest.fixture(scope="module")
def steering(state):
    return state.steering


def readings(samples):
    return {sample: "warm" for sample in samples}


def test_features_of_the_reading_are_raised_and_those_of_the_other_lowered(steering):
    warm, cold = steering.amounts["warm"], steering.amounts["cold"]
    raised = [{f for f, a in amounts.items() if a > 0} for amounts in (warm, cold)]
    lowered = [{f for f, a in amounts.items() if a < 0} for amounts in (warm, cold)]
    assert 0 < len(raised[0]) <= FEATURES and 0 < len(raised[1]) <= FEATURES
    assert lowered[0] == raised[1] - raised[0] and lowered[1] == raised[0] - raised[1]
    for feature in lowered[0]:
        assert warm[feature] == -cold[feature]


def test_amounts_are_mean_activations_at_targets_of_the_fit_split(lab, state, steering):
    train = lab.observed(state.fold.train)
    for feature, amount in steering.amounts["warm"].items():
        pooled = [o.features.pooled("target")[0, feature] for o in train]
        assert abs(amount) == pytest.approx(np.mean([value for value in pooled if value > 0]))


def test_only_the_target_moves_and_by_the_edit_of_its_features(lab, state, steering):
    sample = state.fold.test[0]
    (addition,) = steering.additions(readings([sample])).values()
    prompt = render(lab.context.model.tokenizer, sample.prompt)
    assert list(addition.tokens) == prompt.tokens_in(prompt.regions["target"])
    inputs = read_targets(lab.context, [sample])[sample].inputs[list(addition.tokens)]
    sae = lab.context.sae
    features = sae.encode(inputs)
    edited = features.clone()
    for feature, amount in steering.amounts["warm"].items():
        raised = features[:, feature] + steering.strength * amount
        edited[:, feature] = raised.clamp(min=0) if amount < 0 else raised
    expected = (sae.decode(edited) - sae.decode(features)).detach()
    torch.testing.assert_close(torch.tensor(addition.vectors), expected, atol=1e-4, rtol=1e-4)


def test_every_arm_moves_each_token_equally_far(state, steering):
    samples = state.fold.test[:4]
    vectors = {
        along: [a.vectors for a in steering.additions(readings(samples), along).values()]
        for along in ("features", "difference-in-means", "random")
    }
    for own, dense, random in zip(*vectors.values()):
        norms = [np.linalg.norm(each, axis=1) for each in (own, dense, random)]
        assert norms[0] == pytest.approx(norms[1], rel=1e-4)
        assert norms[0] == pytest.approx(norms[2], rel=1e-4)
        assert norms[0].min() > 0
        toward = steering.directions["warm"]
        assert dense @ toward == pytest.approx(norms[1], rel=1e-3)
    assert not np.allclose(vectors["random"][0][0], vectors["random"][1][0])


def test_the_strength_is_the_best_on_the_fit_split(steering):
    assert list(steering.losses) == list(STRENGTHS)
    assert steering.losses[steering.strength] == min(steering.losses.values())


def test_test_samples_decide_nothing(lab, state):
    """With the right readings of all test samples exchanged, nothing that is fitted changes."""
    other = {"warm": "cold", "cold": "warm"}
    test = set(state.fold.test)
    observations = {
        replace(s, gold_reading=other[s.gold_reading], correct=~s.correct) if s in test else s: o
        for s, o in lab.observations.items()
    }
    flipped = {s: replace(o, sample=s) for s, o in observations.items()}
    fold = lab.fold._replace(test=[s for s in flipped if s not in set(lab.fold.train)])
    again = replace(lab, observations=flipped, folds=[fold]).fit_fold(controls=STEERING_ARMS)
    assert again.steering.amounts == state.steering.amounts
    assert again.steering.losses == state.steering.losses
    by_id = {s.id: w for s, w in steered("steer")(again, again.fold.test).items()}
    for sample, written in steered("steer")(state, state.fold.test).items():
        same = by_id[sample.id]
        assert (written.addition is None) == (same.addition is None)
        if written.addition is not None:
            assert np.array_equal(written.addition.vectors, same.addition.vectors)


@pytest.mark.parametrize("name", STEERING_ARMS)
def test_no_text_changes_and_only_prompts_that_saetask_picks_are_moved(state, name):
    own, written = state.misunderstandings("saetask"), steered(name)(state, state.fold.test)
    assert 0 < sum(bool(found) for found in own.values()) < len(own)
    for sample, arm_prompt in written.items():
        assert arm_prompt.prompt == sample.prompt and arm_prompt.annotation is None
        assert (arm_prompt.addition is not None) == bool(own[sample]) == arm_prompt.takes_offset
    fitted = steered_for_fit(name)(state, state.calibration)
    assert set(fitted) == set(state.steering.drawn) <= set(state.fold.train)


def test_without_features_the_arms_are_left_out(lab, state):
    class Blind(QuickProbe):
        name = "blind"

        def explain(self, detector_input, reading):
            return super().explain(detector_input, reading)._replace(features=[], concepts=())

    blind = lab.fit_fold(controls=STEERING_ARMS, make_detector=Blind)
    reasons = unsteerable([blind], ["steer", "steer-dense", "saetask"])
    assert (
        list(reasons) == ["steer", "steer-dense"] and "blind names no feature" in reasons["steer"]
    )
    assert unsteerable([state], STEERING_ARMS) == {} == unsteerable([blind], ["saetask"])
    assert not any(reading_amounts(blind.pipeline, lab.observed(blind.fold.train)).values())


def test_another_seed_moves_along_other_random_directions(lab, state, steering):
    train = lab.observed(state.fold.train)
    other = fit_steering(lab.context, state.pipeline, train, 1)
    sample = state.fold.test[0]
    first, second = (
        each.additions(readings([sample]), "random")[sample].vectors for each in (steering, other)
    )
    assert not np.allclose(first, second)
