"""Whether notes are understood or obeyed, and what kind of failure findings are."""

from collections.abc import Sequence

from saetask.experiments.control_detectors import OWN
from saetask.experiments.fold import FoldState
from saetask.experiments.inside import measure_inside
from saetask.experiments.obedience import (
    calibrated_output,
    count_kinds,
    measure_obedience,
    raw_output,
)
from saetask.experiments.scoring import SampleResult
from saetask.report.understanding import Understanding
from saetask.saes.encoding import input_hook


def measure_understanding(
    states: Sequence[FoldState], results: Sequence[SampleResult], seed: int, read_inside: bool
) -> Understanding:
    """Returns the figures of the block `understanding`.

    Args:
        states: The fitted folds.
        results: Of all arms.
        seed: Seed of resamples and flips.
        read_inside: Read every layer under every kind of note, which takes passes of its own.
    """
    findings = {s: found for state in states for s, found in state.findings(OWN).items()}
    block = Understanding(findings=count_kinds(findings))
    if (said := measure_obedience(results, raw_output, seed)) is not None:
        block.obedience = said
    if (calibrated := measure_obedience(results, calibrated_output, seed)) is not None:
        block.obedience_calibrated = calibrated
    if read_inside:
        block.sae_reader = input_hook(states[0].context.sae)
        block.inside = measure_inside(states, results, seed)
    return block
