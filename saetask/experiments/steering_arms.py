"""Arms that steer: the prompts that saetask annotates stay as they are and are moved inside."""

from collections.abc import Collection, Sequence

from saetask.annotation.prompt_writer import ArmPrompt
from saetask.data.samples import Sample
from saetask.experiments.arm_prompts import Prompts, Writer, unchanged
from saetask.experiments.control_detectors import OWN
from saetask.experiments.fold import FoldState
from saetask.experiments.steering import (
    STEER,
    STEER_DENSE,
    STEER_RANDOM,
    STEERING_ARMS,
    Along,
    Steering,
)

ALONG: dict[str, Along] = {
    STEER: "features",
    STEER_DENSE: "difference-in-means",
    STEER_RANDOM: "random",
}
"""What each arm moves the activation along."""
NO_FEATURES = "The detector {} names no feature of a reading, so there is nothing to steer."
OTHER_HOOK = "The SAE writes at another hook point than it reads, so no means are known there."


def steered(name: str) -> Writer:
    """Returns a function that steers the prompts that saetask annotates, towards its reading."""

    def write(state: FoldState, samples: Sequence[Sample]) -> Prompts:
        own = state.misunderstandings(OWN)
        picked = {sample: own[sample][0].reading for sample in samples if own[sample]}
        additions = _steering(state).additions(picked, ALONG[name])
        moved = {
            s: ArmPrompt(s.prompt, None, own[s], own_offset=True, addition=addition)
            for s, addition in additions.items()
        }
        return unchanged(state, samples) | moved

    return write


def steered_for_fit(name: str) -> Writer:
    """Returns a function that steers training samples towards their right reading.

    Those on which the strength was chosen; each has a pass of its own, so more would take long.
    """

    def write(state: FoldState, samples: Sequence[Sample]) -> Prompts:
        steering = _steering(state)
        right = {s: s.gold_reading for s in steering.drawn if s.gold_reading is not None}
        return {
            s: ArmPrompt(s.prompt, None, [], own_offset=True, addition=addition)
            for s, addition in steering.additions(right, ALONG[name]).items()
        }

    return write


def unsteerable(states: Sequence[FoldState], arms: Collection[str]) -> dict[str, str]:
    """Returns those of these arms that would move nothing in any fold, and why."""
    asked = [name for name in STEERING_ARMS if name in arms]
    if not asked:
        return {}
    if not any(any(_steering(state).amounts.values()) for state in states):
        reason = NO_FEATURES.format(states[0].pipeline.detector.name)
        return dict.fromkeys(asked, reason)
    if STEER_DENSE in asked and not all(_steering(state).directions for state in states):
        return {STEER_DENSE: OTHER_HOOK}
    return {}


def _steering(state: FoldState) -> Steering:
    assert state.steering is not None  # fitted where one of these arms is run
    return state.steering
