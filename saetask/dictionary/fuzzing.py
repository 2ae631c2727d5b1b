"""Contexts with one token marked, on which a feature fires or not: for fuzzing a label."""

from typing import NamedTuple

import numpy as np

from saetask.dictionary.examples import WINDOW, FiringIndex

REACH = 12
"""A mark is at most so many tokens before the context's end, right or wrong alike, so that where
it stands tells nothing."""


class MarkedContexts(NamedTuple):
    """Contexts in which a feature fires, each with a mark on one token."""

    windows: np.ndarray
    """Token ids, `[n, WINDOW]`."""
    marked: np.ndarray
    """Place of the marked token in its window, `[n]`."""
    right: np.ndarray
    """Does the feature fire strongly on the marked token? `[n]`, bool; else it is silent there."""


def draw_marked(
    index: FiringIndex, feature: int, n: int, generator: np.random.Generator
) -> MarkedContexts:
    """Draws contexts of a feature, one a row of the corpus; half have a silent token marked.

    A row in which all tokens fire takes the right mark only, so there may be fewer wrong ones.

    Args:
        index: Firings on test documents.
        feature: The feature.
        n: Contexts wanted.
        generator: Draws rows, places and marks.
    """
    firing, strong = index.tokens_firing(feature), index.tokens_firing_strongly(feature)
    starts = index.firings.row_starts
    rows = np.searchsorted(starts, strong, side="right") - 1
    ends, marks, right = [], [], []
    for row in generator.permutation(np.unique(rows))[:n]:
        token = int(generator.choice(strong[rows == row]))
        end = min(token + int(generator.integers(REACH)), int(starts[row + 1]) - 1)
        near = np.arange(max(int(starts[row]), end - REACH + 1), end + 1)
        silent = np.setdiff1d(near, firing)
        wrong = len(right) % 2 == 1 and len(silent) > 0
        marks.append(int(generator.choice(silent)) if wrong else token)
        ends.append(end)
        right.append(not wrong)
    places = np.array(marks, int) - np.array(ends, int) + WINDOW - 1
    return MarkedContexts(index.windows(np.array(ends, np.int64)), places, np.array(right, bool))
