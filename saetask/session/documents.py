"""What a session finds in a prompt, as JSON documents."""

from collections.abc import Sequence
from typing import Any

from saetask.report.finding_record import misunderstanding_record
from saetask.session.inspection import AskedPrompt, OfferedNote
from saetask.session.results import Detection


def detection_document(detection: Detection) -> dict[str, Any]:
    """Returns a detection as a JSON object."""
    misunderstandings = [misunderstanding_record(m).to_json() for m in detection.misunderstandings]
    return {
        "prompt": detection.prompt,
        "answer": detection.answer,
        "calibrated_answer": detection.calibrated_answer,
        "preference": detection.preference,
        "failure": detection.failure,
        "misunderstandings": misunderstandings,
        "reason": detection.reason,
    }


def notes_document(notes: Sequence[OfferedNote]) -> list[dict[str, Any]]:
    """Returns offered notes as JSON objects."""
    return [{**note.annotation._asdict(), "chosen": note.chosen} for note in notes]


def asked_document(asked: AskedPrompt) -> dict[str, Any]:
    """Returns a prompt with the answers to it as a JSON object."""
    return {
        "prompt": asked.prompt,
        "answer": asked.answers.raw,
        "calibrated_answer": asked.answers.calibrated,
        "candidates": [candidate._asdict() for candidate in asked.candidates],
    }
