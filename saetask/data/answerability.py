"""Items whose candidate answers leave nothing to choose: counted, and refused if they are many."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from saetask.data.tasks import Task
from saetask.errors import UserError

if TYPE_CHECKING:
    from saetask.data.samples import Sample

LARGEST_SHARE = 0.5
"""Share of items without a right candidate above which a run is refused."""


class CandidateCounts(NamedTuple):
    """Number of items whose candidates leave nothing to choose, by why; each counts once."""

    none_right: int
    """The gold answer is known, but no candidate is right, or there is none."""
    one_only: int
    """There is one candidate, and it is right."""
    all_right: int
    """Every one of several candidates is right."""


def count_candidates(samples: Sequence["Sample"]) -> CandidateCounts:
    """Counts the samples whose candidates leave nothing to choose."""
    known = [sample for sample in samples if sample.item.gold is not None]
    none_right = sum(not sample.correct.any() for sample in known)
    open_ones = [s for s in samples if len(s.correct) and s.correct.all()]
    one_only = sum(len(sample.correct) == 1 for sample in open_ones)
    return CandidateCounts(none_right, one_only, len(open_ones) - one_only)


def check_candidates(
    task: Task, samples: Sequence["Sample"], name: str, data: Path | None = None
) -> str | None:
    """Refuses items of most of which no candidate is right.

    Args:
        task: The task. Where it names a `generating_task`, that one is advised.
        samples: The samples whose candidates are to be ranked.
        name: What the items are called.
        data: Their file, if there is one.

    Returns:
        A warning if there are fewer, or items of which no candidate is wrong; else None.

    Raises:
        UserError: More than `LARGEST_SHARE` of the samples have no right candidate.
    """
    counts, n = count_candidates(samples), len(samples)
    n_open, problems = counts.one_only + counts.all_right, []
    if counts.none_right:
        problems.append(f"{counts.none_right} of {n} items: no candidate is right")
    if n_open:
        problems.append(f"{n_open} of {n} items: no candidate is wrong, so nothing is chosen")
    if not problems:
        return None
    message = f"{name}: {'; '.join(problems)}. {_advice(task, counts, data)}"
    if counts.none_right > LARGEST_SHARE * n:
        raise UserError(message)
    return message


def _advice(task: Task, counts: CandidateCounts, data: Path | None) -> str:
    if not counts.none_right:
        return "Give items with a right and a wrong candidate."
    name = getattr(task, "generating_task", task.name)
    if data is None:
        return f"Try the task {name} with scoring='generate' (--scoring generate)."
    return f"Try `saetask run {name} --data {data} --scoring generate`."
