"""Whether what findings say of examples holds of the tested items, which are of other groups.

    python -m benchmarks.examples_hold RUN ...

A finding says of each concept which share of the prompts that the detector was fitted on, and in
which it fires as here, have the reading that it speaks for (`alike` in `items.jsonl`). For each run
of a task with two readings it is printed, of the concept that adds most to a finding and of all
that are listed: what they say on average (`said`), and in which share of the tested items the right
reading is that one (`is`); the same by what they say, in tenths; and `of_all`, what the readings'
frequencies alone would say.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.command_line import command_parser
from saetask.errors import UserError, one_line_errors
from saetask.report.items import ItemRecord, read_item_records


class Said(NamedTuple):
    """What a finding says of one concept, and whether it is so."""

    share: float
    of_all: float
    holds: bool
    is_strongest: bool


def claims(path: Path) -> Iterator[Said]:
    """Yields what the findings of a run's file of items say.

    Raises:
        UserError: The task has not two readings, or no finding says anything of examples.
    """
    rows = [row for _, row in read_item_records(path) if row.arm == "saetask"]
    found = [(row, m, c) for row in rows for m in row.misunderstandings for c in m.concepts]
    readings = {concept.reading for _, _, concept in found if concept.alike}
    if len(readings) != 2:
        raise UserError(f"{path}: {len(readings)} readings with examples; give a run with two.")
    for row, finding, concept in found:
        if concept.alike:
            strongest = max(abs(each.contribution) for each in finding.concepts)
            yield Said(
                concept.alike.share,
                concept.alike.of_all,
                _right_reading(row, readings) == concept.reading,
                abs(concept.contribution) == strongest,
            )


def _right_reading(row: ItemRecord, readings: set[str]) -> str | None:
    """Returns the right one of two readings, by the answer and whether it is right."""
    if row.correct or row.parsed is None:
        return row.parsed if row.correct else None
    return next(iter(readings - {row.parsed}))


def figures(said: Sequence[Said]) -> dict[str, Any]:
    """Returns what is said and what is, on average and by tenths of what is said."""
    table = np.array([(each.share, each.of_all, each.holds) for each in said])
    tenth = np.minimum((table[:, 0] * 10).astype(int), 9)
    return {
        **_means(table),
        "of_all": round(float(table[:, 1].mean()), 3),
        "by_tenth": {
            f"{number / 10:.1f}": _means(table[tenth == number]) for number in np.unique(tenth)
        },
    }


def _means(table: np.ndarray) -> dict[str, Any]:
    said, holds = table[:, 0].mean(), table[:, 2].mean()
    return {"n": len(table), "said": round(float(said), 3), "is": round(float(holds), 3)}


@one_line_errors("examples_hold")
def main(given: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = command_parser("python -m benchmarks.examples_hold", __doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    documents = {}
    for run in parser.parse_args(given).runs:
        said = list(claims(run / "items.jsonl"))
        strongest = [each for each in said if each.is_strongest]
        documents[run.name] = {"strongest": figures(strongest), "listed": figures(said)}
    print(json.dumps(documents, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
