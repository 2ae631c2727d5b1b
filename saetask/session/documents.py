"""What a session finds in a prompt, as JSON documents."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from saetask.data.prompts import Prompt
from saetask.report.finding_record import misunderstanding_record
from saetask.session.inspection import AskedPrompt, OfferedNote
from saetask.session.results import Detection

if TYPE_CHECKING:
    from saetask.dictionary.editing import ResolvedEdit
    from saetask.session.steering import SteeredPrompt


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


def steering_document(
    prompt: Prompt, strength: float, resolved: "ResolvedEdit", found: "SteeredPrompt"
) -> dict[str, Any]:
    """Returns a prompt's answers before and after an edit, and its controls, as a JSON object."""
    from saetask.session.steering_conclusion import steering_conclusion

    return {
        "prompt": prompt.text,
        "strength": strength,
        "steered": resolved.steered,
        "ablated": resolved.ablated,
        "typical_activations": {str(f): value for f, value in resolved.typical.items()},
        "relative_norm": found.relative_norm,
        "before": found.before._asdict(),
        "after": found.after._asdict(),
        "random": [each._asdict() for each in found.random],
        "conclusion": steering_conclusion(found),
    }
