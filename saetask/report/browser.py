"""The items of a run as the data of the page's item browser.

They are packed (JSON, gzip, base64), since prompts and labels repeat themselves: 5,000 items take
about 1 MB. The page's script unpacks them by what every browser has had since 2023, and needs no
network for it.
"""

import base64
import gzip
import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from saetask.report.evidence_data import ConceptTable, evidence_data
from saetask.report.item_comparison import ItemComparison, Items
from saetask.report.items import ItemRecord, MisunderstandingRecord, RoundRecord
from saetask.report.why import why_sentence

PLACES, SCORE_PLACES = 3, 2
"""Decimals of the numbers in the browser, which shows no more, and of the candidates' scores."""
PLAIN, MARKED, WRITTEN = 0, 1, 2
"""What a piece of a prompt is: as it was, misread, or written by the arm."""

Segment = tuple[str, int]


def packed_items(items: Items, score_name: str) -> str:
    """Returns the items as base64 of gzipped JSON; the same items give the same text."""
    text = json.dumps(item_data(items, score_name), separators=(",", ":"), allow_nan=False)
    # gzip would store the time otherwise.
    return base64.b64encode(gzip.compress(text.encode("ascii"), mtime=0)).decode("ascii")


def item_data(items: Items, score_name: str) -> dict[str, Any]:
    """Returns what the browser needs of all items, as JSON values.

    Args:
        items: The items.
        score_name: What the raw scores of candidates are called, such as `log-likelihoods`.
    """
    features: dict[tuple[int, str], int] = {}
    concepts = ConceptTable()
    rows = [_row(item, features, concepts) for item in items.every]
    return {
        "baseline": items.baseline,
        "method": items.method,
        "scoreName": score_name,
        "features": list(features),
        "concepts": concepts.rows,
        "items": rows,
    }


def _row(
    item: ItemComparison, features: dict[tuple[int, str], int], concepts: ConceptTable
) -> dict[str, Any]:
    """Returns an item; features and concepts are given by their places, new ones are added."""
    # Cut here and not in the browser: JavaScript counts UTF-16 units, the spans count characters.
    prompt = item.before.prompt if item.before else ""
    asked = item.after.prompt if item.after and item.annotations else None
    offset = message_start(prompt, item.findings)
    return {
        "id": item.id,
        "group": item.group,
        "fold": item.fold,
        "change": item.change,
        "correct": [
            [arm, correct, item.raw_correct.get(arm)] for arm, correct in item.correct.items()
        ],
        "prompt": marked_segments(prompt, item.findings),
        "asked": None if asked is None else written_segments(prompt, asked),
        "before": _answer(item.before),
        "after": _answer(item.after),
        "findings": [
            _finding(finding, features)
            | {"evidence": evidence_data(finding, prompt, offset, concepts)}
            for finding in item.findings
        ],
        "notes": [[note.text, note.placement, note.annotator] for note in item.annotations],
        "rounds": [_round(entry) for entry in item.rounds],
    }


def _answer(row: ItemRecord | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "output": row.output,
        "parsed": row.parsed or None,
        "scores": _scores(row.scores),
        "raw": row.raw_output,
        "rawScores": _scores(row.raw_scores or {}),
    }


def _scores(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    # As pairs: JavaScript would sort the keys of an object that look like numbers.
    return [(name, round(value, SCORE_PLACES)) for name, value in scores.items()]


def _finding(
    finding: MisunderstandingRecord, features: dict[tuple[int, str], int]
) -> dict[str, Any]:
    evidence = [
        [
            features.setdefault((entry.id, entry.label), len(features)),
            round(entry.activation, PLACES),
            round(entry.weight, PLACES),
        ]
        # Concepts take the place of features.
        for entry in ([] if finding.concepts else finding.features)
    ]
    return {
        "text": finding.text,
        "reading": finding.reading,
        "why": why_sentence(finding),
        "probability": round(finding.probability, PLACES),
        "detector": finding.detector,
        "features": evidence,
    }


def _round(entry: RoundRecord) -> dict[str, Any]:
    return {
        "annotation": entry.annotation,
        "placement": entry.placement,
        "before": round(entry.failure_before, PLACES),
        "after": round(entry.failure_after, PLACES),
        "kept": entry.kept,
    }


def marked_segments(prompt: str, findings: list[MisunderstandingRecord]) -> list[Segment]:
    """Cuts a prompt where a finding's span begins or ends, and marks what lies in a span.

    Spans count in the last message, the prompt is all messages in lines: the message begins where
    the findings' texts stand at their spans. Where they stand nowhere, nothing is marked.
    """
    offset = message_start(prompt, findings)
    spans = [] if offset is None else [(offset + f.span[0], offset + f.span[1]) for f in findings]
    spans = [(start, end) for start, end in spans if start < end]
    cuts = sorted({0, len(prompt), *(cut for span in spans for cut in span)})
    return [
        (prompt[start:end], MARKED if any(low <= start < high for low, high in spans) else PLAIN)
        for start, end in pairwise(cuts)
    ]


def message_start(prompt: str, findings: list[MisunderstandingRecord]) -> int | None:
    lines = [0, *(place + 1 for place, character in enumerate(prompt) if character == "\n")]

    def fits(start: int) -> bool:
        return all(prompt.startswith(f.text, start + f.span[0]) for f in findings) and all(
            f.span[1] - f.span[0] == len(f.text) for f in findings
        )

    return next(filter(fits, lines), None)


def written_segments(prompt: str, asked: str) -> list[Segment]:
    """Cuts an annotated prompt into what it shares with the original and what was written.

    What lies between the common beginning and the common end counts as written: exact for one note.
    """
    start = _shared(prompt, asked)
    stop = len(asked) - _shared(prompt[start:][::-1], asked[start:][::-1])
    pieces = [(asked[:start], PLAIN), (asked[start:stop], WRITTEN), (asked[stop:], PLAIN)]
    return [(text, kind) for text, kind in pieces if text]


def _shared(one: str, other: str) -> int:
    """Returns the length of the beginning that two texts have in common."""
    pairs = enumerate(zip(one, other))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
