"""Control of other forms of a prompt: answers that are drawn to the prompt as it stands."""

from collections.abc import Mapping, Sequence

import numpy as np

from saetask.discovery.asked_document import DrawnControl
from saetask.discovery.failures import ScoredItems, disagreement_of
from saetask.discovery.gold import FEWEST_SCORED
from saetask.utils.auroc import auroc, macro_auroc


def compare_with_draws(
    scored: ScoredItems, drawn: Mapping[str, Sequence[str]], seed: int
) -> DrawnControl | None:
    """Returns what drawn answers tell where prompts were asked in other forms; None if none was.

    Args:
        scored: The items, with their disagreement over other forms as failures.
        drawn: Answers drawn to the unchanged prompt, by id of those that have other forms.
        seed: Seed of the resamples.
    """
    places = [i for i, item in enumerate(scored.items) if item.id in drawn]
    if not places:
        return None
    items = [scored.items[i] for i in places]
    by_forms = scored.failures[places]
    found = [disagreement_of((item.output, *drawn[item.id])) for item in items]
    by_draws = np.array(found, dtype=float)
    known = [i for i, item in enumerate(items) if item.correct is not None]
    wrong = np.array([1 - (items[i].correct or 0) > 0.5 for i in known], dtype=bool)
    groups = [items[i].group for i in known]
    area = None
    if len(known) >= FEWEST_SCORED:
        area = auroc(wrong, by_draws[known], groups, seed)
    difference = area and macro_auroc(
        ["wrong" if each else "right" for each in wrong],
        _classes(by_forms[known]),
        groups,
        seed,
        minus=_classes(by_draws[known]),
    )
    return DrawnControl(
        n=len(items),
        disagreement=float(by_forms.mean()),
        drawn_disagreement=float(by_draws.mean()),
        auroc=area.value if area else None,
        difference=difference.value if difference else None,
        ci95=difference.ci95 if difference else None,
    )


def _classes(disagreement: np.ndarray) -> dict[str, np.ndarray]:
    return {"wrong": disagreement, "right": 1 - disagreement}
