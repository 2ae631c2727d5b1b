"""What saetask's gain is to the credit of: the finding, or the trained SAE."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saetask.experiments.control_detectors import DENSE_PROBE, OWN, RANDOM_SAES
from saetask.report.arms import ArmSpec
from saetask.report.figures import (
    ArmFigures,
    FindingCredit,
    PairedComparison,
    SAECredit,
    mostly_own_notes,
)
from saetask.utils.sign_flips import flip_test
from saetask.utils.statistics import holm, mean_interval


def finding_credit(
    correct: Mapping[str, np.ndarray],
    specs: Sequence[ArmSpec],
    against: Mapping[str, PairedComparison],
    figures: Mapping[str, ArmFigures],
) -> FindingCredit | None:
    """Returns saetask minus the best arm that writes nothing found in the item; None without one.

    An arm most of whose notes are saetask's own, word for word, is no such arm.

    Args:
        correct: Whether each item is right, bool `[item]`, by arm.
        specs: Specifications of the arms.
        against: saetask's comparison with each control.
        figures: Figures of the arms.
    """
    names = [spec.name for spec in specs if spec.in_sae_credit and spec.name in against]
    names = [name for name in names if not mostly_own_notes(figures[name])]
    if not names:
        return None
    # Of equally good controls the last one, which is the stronger control, is named.
    best = max(reversed(names), key=lambda arm: float(correct[arm].mean()))
    return FindingCredit(control=best, difference=against[best].difference, ci95=against[best].ci95)


def sae_credit(
    correct: Mapping[str, np.ndarray],
    raw: Mapping[str, np.ndarray],
    groups: Sequence[str],
    seed: int,
) -> SAECredit | None:
    """Returns saetask minus the better of a dense probe and random dictionaries; None without both.

    An item of which a share of the random dictionaries answers right counts as that share. The
    p-value flips the signs of whole groups' differences (see `flip_test`).

    Args:
        correct: Whether each item's calibrated answer is right, bool `[item]`, by arm.
        raw: The same of raw answers, of the arms that have any.
        groups: Group of each item.
        seed: Seed of resamples and flips.
    """
    figures = _sae_credit(correct, groups, seed)
    if figures is None:
        return None
    by_raw = _sae_credit(raw, groups, seed)
    return SAECredit.model_validate(figures | ({"raw": by_raw} if by_raw else {}))


def _sae_credit(
    correct: Mapping[str, np.ndarray], groups: Sequence[str], seed: int
) -> dict[str, Any] | None:
    """Returns the fields of `SAECreditFigures`; None without both kinds of rivals."""
    random = [correct[name] for name in RANDOM_SAES if name in correct]
    if DENSE_PROBE not in correct or not random:
        return None
    rivals = {
        DENSE_PROBE: correct[DENSE_PROBE].astype(float),
        RANDOM_SAES[0]: np.mean(random, axis=0),
    }
    differences = {name: correct[OWN] - rival for name, rival in rivals.items()}
    corrected = holm({name: _p_value(d, groups, seed) for name, d in differences.items()})
    over = max(rivals, key=lambda name: float(rivals[name].mean()))
    return {
        "over": over,
        "difference": float(differences[over].mean()),
        "ci95": mean_interval(differences[over], groups, seed),
        "holm_p": corrected[over],
        "n_dictionaries": len(random),
    }


def _p_value(differences: np.ndarray, groups: Sequence[str], seed: int) -> float:
    """Returns the two-sided p-value that a mean difference is zero, `[item]`."""
    _, places = np.unique(np.array(groups), return_inverse=True)
    sums = np.bincount(places, weights=differences)
    return flip_test(np.stack([sums, -sums], axis=1), seed).p_value
