"""Obeyed or understood: do answers follow right notes more than wrong ones?"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from saetask.data.samples import Sample
from saetask.detection.base import Finding
from saetask.experiments.control_detectors import OWN
from saetask.experiments.scoring import SampleResult
from saetask.report.arms import CONTRARY
from saetask.report.understanding import FindingKinds, Obedience
from saetask.utils.sign_flips import flip_test
from saetask.utils.statistics import mean_interval

GetOutput = Callable[[SampleResult], str]


def raw_output(row: SampleResult) -> str:
    """Returns the raw answer."""
    return row.raw_output


def calibrated_output(row: SampleResult) -> str:
    """Returns the calibrated answer."""
    return row.output


class NotePair(NamedTuple):
    """An item with a note that states the right reading, and one that states another."""

    right: SampleResult
    wrong: SampleResult


def note_pairs(results: Sequence[SampleResult]) -> list[NotePair]:
    """Returns the items to which `saetask` and `contrary` state a right and a wrong reading."""
    by_arm: dict[str, dict[Sample, SampleResult]] = {OWN: {}, CONTRARY: {}}
    for row in results:
        if row.arm in by_arm and row.written.annotation is not None:
            by_arm[row.arm][row.sample] = row
    pairs = []
    for sample, own in by_arm[OWN].items():
        other = by_arm[CONTRARY].get(sample)
        both = [row for row in (own, other) if row is not None]
        right = [row for row in both if stated_reading(row) == sample.gold_reading]
        wrong = [row for row in both if stated_reading(row) != sample.gold_reading]
        if right and wrong:
            pairs.append(NotePair(right[0], wrong[0]))
    return pairs


def stated_reading(row: SampleResult) -> str:
    """Returns the reading that a row's note states, or its finding has; "" without one."""
    found = row.written.misunderstandings
    return found[0].reading if found else ""


def measure_obedience(
    results: Sequence[SampleResult], output: GetOutput, seed: int
) -> Obedience | None:
    """Returns how often right and wrong notes are followed; None where no item got both.

    Args:
        results: Of all arms.
        output: Returns the raw or the calibrated answer.
        seed: Seed of resamples and flips.
    """
    pairs = [pair for pair in note_pairs(results) if _read(pair.right, output) is not None]
    if not pairs:
        return None
    originals = {row.sample: row for row in results if row.arm == "original"}
    followed = np.array(
        [[_read(row, output) == stated_reading(row) for row in pair] for pair in pairs], dtype=float
    )
    samples = [pair.right.sample for pair in pairs]
    before = [_read(originals[s], output) == s.gold_reading for s in samples]
    differences, groups = followed[:, 0] - followed[:, 1], [sample.group for sample in samples]
    return Obedience(
        n=len(pairs),
        right=float(followed[:, 0].mean()),
        wrong=float(followed[:, 1].mean()),
        before=float(np.mean(before)),
        difference=float(differences.mean()),
        ci95=mean_interval(differences, groups, seed),
        p=two_sided(differences[:, None], groups, seed)[0],
    )


def two_sided(values: np.ndarray, groups: Sequence[str], seed: int) -> list[float]:
    """Returns the two-sided p-value that each column's mean is zero, corrected over the columns.

    Args:
        values: `[item, column]`.
        groups: Group of each item; a group counts once, with its sum.
        seed: Seed of the flips.
    """
    _, places = np.unique(np.array(groups), return_inverse=True)
    sums = np.zeros((places.max() + 1, values.shape[1]))
    np.add.at(sums, places, values)
    tested = flip_test(np.concatenate([sums, -sums], axis=1), seed).p_values
    return np.minimum(*tested.reshape(2, -1)).tolist()


def count_kinds(findings: Mapping[Sample, Finding]) -> FindingKinds:
    """Returns what findings are by the probe's margin; right readings are used to score alone."""
    found = [(s, m) for s, finding in findings.items() for m in finding.misunderstandings[:1]]
    right = {
        kind: [m.reading == s.gold_reading for s, m in found if m.kind == kind]
        for kind in ("misreport", "misreading", None)
    }
    return FindingKinds(
        n=len(found),
        misreport=len(right["misreport"]),
        misreading=len(right["misreading"]),
        unknown=len(right[None]),
        misreport_right=_mean(right["misreport"]),
        misreading_right=_mean(right["misreading"]),
    )


def _mean(values: Sequence[bool]) -> float | None:
    return float(np.mean(values)) if values else None


def _read(row: SampleResult, output: GetOutput) -> str | None:
    """Returns the reading that an answer stands for; None where it is no candidate."""
    texts = row.sample.texts
    text = output(row)
    return row.sample.readings[texts.index(text)] if text in texts else None
