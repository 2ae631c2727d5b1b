"""Without a weight of its own no probe finds anything, though a bias outvotes every answer."""

import sys

import numpy as np
import pytest

from saetask.detection import ProbeConfig, baselines
from saetask_plugins.detectors.failure_probe import FailureProbe
from saetask_plugins.detectors.missing_concept import MissingConcept
from saetask_plugins.detectors.sense_conflict import SenseConflict
from tests.helpers.planted_readings import PlantedSample

FEW = ProbeConfig((("text",),), (("l2", 0.03),), dense_strengths=(0.03,))
DETECTORS = {
    "failure-probe": lambda: FailureProbe(FEW),
    "missing-concept": MissingConcept,
    "sense-conflict": SenseConflict,
    **{
        baseline.name: lambda name=baseline.name: _baseline(name)
        for baseline in baselines.baselines(FEW)
    },
}


def _baseline(name):
    return next(each for each in baselines.baselines(FEW) if each.name == name)


def make_sample(seed):
    """Returns planted readings whose raw activations tell nothing."""
    sample, random = PlantedSample(seed, n_groups=12), np.random.default_rng(seed)
    for reading in sample.readings:
        object.__setattr__(reading, "raw", {n: random.normal(size=4) for n in ("text", "target")})
    return sample


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize(("weight", "finds"), [(0.0, False), (1e-9, True)])
def test_a_bias_alone_finds_nothing(name, weight, finds, monkeypatch):
    stack = np.array([weight, 0.0, 9.0, -9.0])  # "a", whatever the model says
    detector = DETECTORS[name]()
    module = sys.modules[type(detector).__module__]
    monkeypatch.setattr(module, "fit_stack", lambda *arguments: stack)
    sample, fresh = make_sample(0), make_sample(1)
    held_out = detector.fit(sample.readings, sample.golds, sample.groups)
    findings = [*held_out, *(detector.detect(reading) for reading in fresh.readings)]
    assert any(finding.misunderstandings for finding in findings) == finds
    assert all(finding.leading == "a" for finding in findings)  # the probability is told
