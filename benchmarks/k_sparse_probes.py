"""Probes on the k inputs that tell a class best, scored on groups that are held out.

Gurnee et al. 2023, arXiv 2305.01610; as in SAEBench, Karvonen et al. 2025, arXiv 2503.09532.
"""

from collections.abc import Sequence

import numpy as np

from saetask.data.folds import stratified_splits
from saetask.detection.sparse_probes import Inputs, probe_decisions, ranks

N_FOLDS, REPEATS = 5, 3


def probe_scores(
    inputs: Inputs,
    labels: Sequence[str],
    groups: Sequence[str],
    ks: Sequence[int | None],
    repeats: int = REPEATS,
) -> dict[int | None, dict[str, np.ndarray]]:
    """Returns held-out scores of probes on k inputs, for each class against the rest.

    Args:
        inputs: `[item, input]`.
        labels: Class of each item.
        groups: Group of each item; no group is on both sides of a split.
        ks: Numbers of inputs, chosen on each fold's training part; None takes all.
        repeats: Number of ways of splitting.

    Returns:
        By k and class, ranks within the fold from 0 to 1, `[repeats * item]`.
    """
    names = np.asarray(labels)
    classes = sorted(set(labels))
    scores = {k: {name: np.zeros((repeats, len(names))) for name in classes} for k in ks}
    for seed in range(repeats):
        for fit, held_out in stratified_splits(labels, groups, N_FOLDS, seed):
            for name in classes:
                decided = probe_decisions(inputs[fit], names[fit] == name, inputs[held_out], ks)
                for k, values in zip(ks, decided):
                    scores[k][name][seed, held_out] = ranks(values)
    return {k: {name: r.reshape(-1) for name, r in own.items()} for k, own in scores.items()}
