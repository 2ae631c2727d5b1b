"""Inner folds of the fit split: each prompt is judged by a fit that did not see its group."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from saetask import INNER_FOLDS


class InnerFold(NamedTuple):
    """Which prompts are fitted on and which are judged."""

    fit: np.ndarray
    held_out: np.ndarray


def inner_folds(labels: np.ndarray, groups: Sequence[str]) -> list[InnerFold]:
    """Divides prompts into folds that share no group, their classes as even as groups allow."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class of one or two items is no news to the user
        return [InnerFold(*rows) for rows in folds.split(labels, labels, groups)]


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
    found = np.zeros((len(labels), n_classes))
    for fold in inner_folds(labels, groups):
        if len(np.unique(labels[fold.fit])) == n_classes:
            found[fold.held_out] = log_odds(fold.fit, fold.held_out)
    return found
