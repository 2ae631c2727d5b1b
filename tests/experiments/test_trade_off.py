"""What a short explanation costs: probes on k inputs, fitted on one part and judged on another."""

from dataclasses import replace

import numpy as np
import pytest

from saetask.experiments.known_concepts import KnownConcepts
from saetask.experiments.trade_off import KS, measure_trade_off
from tests.helpers.planted_concepts import make_concept
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.touch_task import NO_BASELINE, make_lab


@pytest.fixture(scope="module")
def lab(tiny_model, tiny_sae):
    """A lab with one concept that tells the readings, and some that do not."""
    lab = make_lab(tiny_model, tiny_sae, QuickProbe, n_items=60, settings=NO_BASELINE)
    firing = {"warm": set(), "cold": set()}
    for observation in lab.observed(lab.samples):
        target = observation.features.pooled("target").indices.tolist()
        firing[observation.sample.gold_reading].update(target)
    both = sorted(firing["warm"] & firing["cold"])
    others = [make_concept(f"other {i}", both[i::3]) for i in range(3)]
    concepts = (make_concept("heat", sorted(firing["warm"] - firing["cold"])), *others)
    observations = {s: replace(o, concepts=concepts) for s, o in lab.observations.items()}
    context = replace(lab.context, known_concepts=KnownConcepts(concepts, ()))
    return replace(lab, observations=observations, context=context)


def curve(measured, inputs) -> dict[int, float]:
    return {each.k: each.auroc for each in measured if each.inputs == inputs}


def test_every_kind_of_input_is_judged_at_every_k(lab) -> None:
    measured = measure_trade_off([lab.fit_fold(controls=())], seed=0)
    for inputs in ("concepts", "features", "neurons", "random-sae"):
        assert tuple(curve(measured, inputs)) == KS
    assert curve(measured, "concepts")[1] > 0.9
    assert all(each.ci95[0] <= each.auroc <= each.ci95[1] for each in measured if each.ci95)


def test_what_a_run_does_not_have_is_left_out(lab) -> None:
    observations = {
        s: replace(o, concepts=(), control_features=()) for s, o in lab.observations.items()
    }
    state = replace(lab, observations=observations).fit_fold(controls=())
    kinds = {each.inputs for each in measure_trade_off([state], seed=0)}
    assert kinds == {"features", "neurons"}


def test_readings_that_no_input_tells_stay_at_chance(lab) -> None:
    """A probe chooses among thousands of inputs: judged where it is fitted, it would look good."""
    state = lab.fit_fold(controls=())
    generator = np.random.default_rng(0)
    areas = []
    for _ in range(6):
        readings = generator.permutation([s.gold_reading for s in lab.samples])
        exchanged = dict(zip(lab.samples, map(str, readings)))
        areas += [e.auroc for e in measure_trade_off([with_readings(state, exchanged)], 0)]
    assert abs(np.mean(areas) - 0.5) < 0.1


def with_readings(state, readings):
    """Returns a fold's state whose samples have other right readings."""
    moved = {sample: replace(sample, gold_reading=new) for sample, new in readings.items()}
    trained_on = [replace(o, sample=moved[o.sample]) for o in state.pipeline.trained_on]
    return replace(
        state,
        fold=state.fold._replace(test=[moved[sample] for sample in state.fold.test]),
        observations={moved[s]: replace(o, sample=moved[s]) for s, o in state.observations.items()},
        pipeline=replace(state.pipeline, trained_on=trained_on),
    )
