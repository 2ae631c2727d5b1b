"""Log-odds for the fit split's own prompts, from fits that did not see their group."""

from collections.abc import Callable, Sequence

import numpy as np

from saetask import INNER_FOLDS


def out_of_fold(
    labels: np.ndarray,
    groups: Sequence[str],
    log_odds: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Judges each prompt by a fit on other groups.

    A fold whose fit part lacks a class says nothing: its log-odds stay zero.

    Args:
        labels: The right class of each prompt, `[n]`.
        groups: Its group.
        log_odds: Fits on the prompts at the first indices and returns the log-odds of those at the
            second, `[len(second), class]`.

    Returns:
        `[n, class]`.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    n_classes = len(np.unique(labels))
    found = np.zeros((len(labels), n_classes))
    folds = StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=0)
    for fit, held_out in folds.split(labels, labels, groups):
        if len(held_out) and len(np.unique(labels[fit])) == n_classes:
            found[held_out] = log_odds(fit, held_out)
    return found
