"""Prints why sentences count as misread, as a terminal shows it: can a stranger say why?

    python -m benchmarks.ten_sentences [--texts FILE.jsonl] [--sae S] [--dictionary DIR] \
        [--detector NAME]

A row of the file: {"task", "text", "target"}; by default ten sentences and four word problems of
`benchmarks/ten_sentences.jsonl`, which stand in no data set. For each the command `detect` prints
is shown; then, as one JSON object, how many have a finding, and how much of it has a name.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.command_line import command_parser
from saetask import Session
from saetask.cli.answers import detection_text
from saetask.data.items import read_rows
from saetask.detection import Misunderstanding
from saetask.report.evidence import unnamed
from saetask.saes.loading import DEFAULT_SAE
from saetask.session import SessionConfig

TEXTS = Path(__file__).with_suffix(".jsonl")


def named_share(found: Misunderstanding) -> float:
    """Returns the share of a finding's evidence, for and against, that listed concepts make up."""
    named = sum(abs(concept.contribution) for concept in found.concepts)
    return named / max(named + abs(found.rest or 0.0), 1e-9)


def says_more_than_the_rest(found: Misunderstanding) -> bool:
    """Returns whether named concepts add more to the reading than all that has no telling name."""
    return (found.log_odds or 0.0) > 2 * unnamed(found)


def main(given: Sequence[str] | None = None) -> int:
    """Prints the findings and returns the exit code."""
    parser = command_parser("python -m benchmarks.ten_sentences", __doc__)
    parser.add_argument("--texts", type=Path, default=TEXTS)
    parser.add_argument("--sae", default=DEFAULT_SAE)
    parser.add_argument("--dictionary", type=Path)
    parser.add_argument("--detector", default="failure-probe")
    options = parser.parse_args(given)
    sessions: dict[str, Session] = {}
    findings: list[Misunderstanding] = []
    rows = [row for _, row in read_rows(options.texts)]
    for row in rows:
        task = row["task"]
        if task not in sessions:
            # One model and one SAE for all tasks.
            loaded: Any = next(iter(sessions.values()), None)
            sessions[task] = Session(
                **({"model": loaded.model, "sae": loaded.sae} if loaded else {"sae": options.sae}),
                task=task,
                detector=options.detector,
                config=SessionConfig(dictionary=options.dictionary),
            )
        detection = sessions[task].detect(row["text"], row.get("target"))
        print(f"\n=== {row['text']}\n{detection_text(detection)}", flush=True)
        findings += detection.misunderstandings
    figures = {
        "n_texts": len(rows),
        "n_found": len(findings),
        "named_share": sum(map(named_share, findings)) / max(len(findings), 1),
        "named_more_than_unnamed": sum(map(says_more_than_the_rest, findings)),
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
