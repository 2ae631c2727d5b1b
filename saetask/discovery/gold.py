"""Whether disagreement stands for wrong answers, where both are known: told, and used nowhere."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from saetask.data.evaluated_items import EvaluatedItem
from saetask.discovery.config import DiscoveryConfig
from saetask.discovery.confirmation import differences, tested
from saetask.discovery.documents import GoldCheck, GoldDifference
from saetask.discovery.result_rows import Row
from saetask.discovery.score_tests import adjust_failures
from saetask.discovery.search import Log
from saetask.utils.auroc import auroc

FEWEST_SCORED = 15
"""Minimum number of items of the confirmation half with a score."""


class CheckedByGold(NamedTuple):
    """Rows with how much more often the answers are wrong, and the check of all prompts."""

    rows: list[Row]
    check: GoldCheck | None
    """None where failure is a wrong answer, or where too few items have a score."""


def check_by_gold(
    rows: Sequence[Row], log: Log, items: Sequence[EvaluatedItem], config: DiscoveryConfig
) -> CheckedByGold:
    """Compares disagreement, and what was confirmed by it, with right and wrong answers.

    Args:
        rows: The hypotheses that were tested by disagreement.
        log: Disagreement of each item, and what may explain it.
        items: The items, some of them with a score.
        config: Options of the discovery.
    """
    scores = np.array([np.nan if i.correct is None else i.correct for i in items], dtype=float)
    half = log.halves.confirmation[np.isfinite(scores[log.halves.confirmation])]
    if config.by != "disagreement" or len(half) < FEWEST_SCORED:
        return CheckedByGold(list(rows), None)
    known, wrong = np.flatnonzero(np.isfinite(scores)), 1 - scores
    groups = [items[i].group for i in known.tolist()]
    area = auroc(wrong[known] > 0.5, log.failures[known], groups, config.seed)
    check = GoldCheck(
        n=len(known),
        failure_rate=float(wrong[known].mean()),
        auroc=area.value if area else None,
        auroc_ci95=area.ci95 if area else None,
    )
    confirmed = [i for i, row in enumerate(rows) if row.discovery.confirmed]
    if not confirmed or np.ptp(wrong[half]) == 0:
        return CheckedByGold(list(rows), check)
    adjusted = adjust_failures(wrong[half], log.confounders[half], log.groups[half])
    presence = np.column_stack([rows[i].presence[half] for i in confirmed])
    measured = differences(presence, wrong[half], adjusted, config.seed)
    p_values = tested(presence, adjusted, np.random.default_rng(config.seed)).p_values
    checked = list(rows)
    for i, found, p_value in zip(confirmed, measured, p_values.tolist()):
        gold = GoldDifference(difference=found.difference, ci95=found.ci95, p=p_value)
        discovery = rows[i].discovery.model_copy(update={"gold": gold})
        checked[i] = rows[i]._replace(discovery=discovery)
    return CheckedByGold(checked, check)
