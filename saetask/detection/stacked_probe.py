"""Stacking: a probe's out-of-fold log-odds joined with the model's own answer.

A softmax regression with two weights and a bias a class turns both into calibrated probabilities.
Where the probe predicts nothing on held-out items, its weight is zero.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from saetask.data.folds import stratified_splits
from saetask.detection.base import DetectorInput, Finding, Misunderstanding, make_finding
from saetask.detection.calibration import fit_scaled_softmax, improves
from saetask.errors import UserError

INNER_FOLDS = 3


class InnerFold(NamedTuple):
    """Prompts that are fitted on and prompts that are predicted."""

    fit: np.ndarray
    held_out: np.ndarray


def known_readings(gold_readings: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Returns the readings in the fit split, sorted.

    Raises:
        UserError: It has one only, has fewer groups than inner folds, or no reading has as many
            items as there are inner folds.
    """
    readings = sorted(set(gold_readings))
    if len(readings) < 2:
        raise UserError(f"The fit split has only the reading {readings}; it needs two at least.")
    if len(set(groups)) < INNER_FOLDS:
        raise UserError(
            f"The fit split has {len(set(groups))} groups; it needs {INNER_FOLDS} at least."
        )
    if max(Counter(gold_readings).values()) < INNER_FOLDS:
        raise UserError(
            f"No reading of the fit split has {INNER_FOLDS} items; give more items a reading."
        )
    return readings


def labels_of(gold_readings: Sequence[str], readings: Sequence[str]) -> np.ndarray:
    """Returns the index of each prompt's right reading among the known ones, `[n]`."""
    return np.array([readings.index(gold_reading) for gold_reading in gold_readings])


def in_domain_rows(inputs: Sequence[DetectorInput]) -> np.ndarray:
    """Returns the indices of the prompts that are not auxiliary, `[n_own]`.

    These alone say which setting of a probe is best, and calibrate it.
    """
    return np.flatnonzero([not detector_input.auxiliary for detector_input in inputs])


def inner_folds(labels: np.ndarray, groups: Sequence[str]) -> list[InnerFold]:
    """Divides prompts into folds that share no group, their classes as even as groups allow."""
    splits = stratified_splits(list(labels), groups, INNER_FOLDS, seed=0)
    return [InnerFold(*rows) for rows in splits]


def out_of_fold(
    labels: np.ndarray,
    groups: Sequence[str],
    log_odds: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Returns each prompt's log-odds by a fit on other groups, `[n, class]`.

    A fold whose fit part lacks a class says nothing: its log-odds stay zero.

    Args:
        labels: The right class of each prompt, `[n]`.
        groups: Its group.
        log_odds: Fits on the prompts at the first indices and returns the log-odds of those at the
            second, `[len(second), class]`.
    """
    n_classes = len(np.unique(labels))
    held_out_log_odds = np.zeros((len(labels), n_classes))
    for fold in inner_folds(labels, groups):
        if len(np.unique(labels[fold.fit])) == n_classes:
            held_out_log_odds[fold.held_out] = log_odds(fold.fit, fold.held_out)
    return held_out_log_odds


def held_out_loss(log_odds: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean negative log-likelihood of the right classes, in nats.

    Args:
        log_odds: Of prompts that the probe did not see, `[n, class]`.
        labels: The right class of each, `[n]`.
    """
    return float(item_losses(log_odds, labels).mean())


def item_losses(log_odds: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the negative log-likelihood of the right class of each prompt, in nats, `[n]`.

    Args:
        log_odds: Of prompts that the probe did not see, `[n, class]`.
        labels: The right class of each, `[n]`.
    """
    from scipy.special import log_softmax

    return -log_softmax(log_odds, axis=1)[np.arange(len(labels)), labels]


def answer_scores(inputs: Sequence[DetectorInput], readings: Sequence[str]) -> np.ndarray:
    """Returns the model's log-probability of each reading, centred, `[n, class]`.

    A reading that no candidate stands for counts as much as the least probable one that has some.
    """
    rows = [[r.answer_scores.get(name, -np.inf) for name in readings] for r in inputs]
    scores = np.array(rows, dtype=float)
    known = np.isfinite(scores)
    lowest = np.where(known, scores, np.inf).min(axis=1, keepdims=True)
    scores = np.where(known, scores, np.where(known.any(axis=1, keepdims=True), lowest, 0.0))
    return scores - scores.mean(axis=1, keepdims=True)


def stacked_probabilities(
    stack: np.ndarray, log_odds: np.ndarray, answers: np.ndarray
) -> np.ndarray:
    """Returns the probability of each reading, `[n, class]`.

    Args:
        stack: Weight of the log-odds, weight of the answer, and a bias a class, `[2 + class]`.
        log_odds: The probe's, `[n, class]`.
        answers: What `answer_scores` gives, `[n, class]`.
    """
    from scipy.special import softmax

    return softmax(_stacked(stack, log_odds, answers), axis=1)


def make_findings(
    inputs: Sequence[DetectorInput],
    readings: Sequence[str],
    stack: np.ndarray,
    log_odds: np.ndarray,
    answers: np.ndarray,
    explain: Callable[[DetectorInput, str], Misunderstanding],
) -> list[Finding]:
    """Returns the finding in each prompt, from a probe's log-odds and the model's answer.

    Where the probe's weight is zero, nothing is found: a bias of the fit split must not outvote the
    answer. Probabilities are given all the same.

    Args:
        inputs: The prompts.
        readings: The readings that the detector was fitted on.
        stack: What `fit_stack` returned, `[2 + class]`.
        log_odds: The probe's, `[n, class]`.
        answers: What `answer_scores` gives, `[n, class]`.
        explain: Returns the misunderstanding for a reading of a prompt; see `BaseDetector`.
    """
    probabilities = stacked_probabilities(stack, log_odds, answers)
    found = [
        _with_margin(
            make_finding(detector_input, dict(zip(readings, row)), explain),
            detector_input.answer,
            dict(zip(readings, (stack[0] * own).tolist())),
        )
        for detector_input, row, own in zip(inputs, probabilities.tolist(), log_odds)
    ]
    return found if stack[0] > 0 else [finding._replace(misunderstandings=[]) for finding in found]


def _with_margin(finding: Finding, answer: str, log_odds: Mapping[str, float]) -> Finding:
    """Returns a finding whose misunderstandings say how far the probe alone supports them.

    Args:
        finding: The finding.
        answer: The reading of the model's calibrated answer.
        log_odds: The probe's, by reading.
    """
    if answer not in log_odds:
        return finding
    stated = [
        found._replace(margin=log_odds[found.reading] - log_odds[answer])
        for found in finding.misunderstandings
    ]
    return finding._replace(misunderstandings=stated)


def fit_stack(
    log_odds: np.ndarray, answers: np.ndarray, labels: np.ndarray, chance: float = 1.0
) -> np.ndarray:
    """Fits the two weights (not below zero) and the bias of each class by maximum likelihood.

    The probe's weight is zero unless it passes a likelihood-ratio test at the level `chance`. The
    best of several settings must pass at `CHANCE` divided by their number.

    Args:
        log_odds: Of items that the probe did not see, `[n, class]`.
        answers: What `answer_scores` gives, `[n, class]`.
        labels: The right class of each, `[n]`.
        chance: Level of the test; 1 lets every probe pass.

    Returns:
        Weight of the log-odds, weight of the answer, and a bias a class, `[2 + class]`.
    """
    classes = np.arange(log_odds.shape[1])
    kinds = np.broadcast_to(classes, log_odds.shape)
    correct = labels[:, None] == classes
    without = fit_scaled_softmax([answers], kinds, correct, start=[0.1])
    joined = fit_scaled_softmax([log_odds, answers], kinds, correct, start=[1.0, 0.1])
    if improves(len(labels), without.loss, joined.loss, 1, chance):
        return np.concatenate([joined.weights, joined.biases])
    return np.concatenate([[0.0], without.weights, without.biases])


def _stacked(stack: np.ndarray, log_odds: np.ndarray, answers: np.ndarray) -> np.ndarray:
    return stack[0] * log_odds + stack[1] * answers + stack[2:]
