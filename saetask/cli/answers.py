"""What a session finds in a prompt, in lines for people."""

from textwrap import wrap
from typing import TYPE_CHECKING

from saetask.cli.evidence import WIDTH, evidence_text

if TYPE_CHECKING:
    from saetask.session import Detection, Reformulation


def detection_text(detection: "Detection") -> str:
    """Returns a detection in a few lines."""
    from saetask.report.understanding import kind_sentence
    from saetask.report.why import why_sentence
    from saetask.session.results import failure_text

    answer, wrong = "answer", f"(probability that it is wrong: {failure_text(detection)})"
    lines = []
    if detection.preference or detection.calibrated_answer != detection.answer:
        lines.append(f"answer: {detection.answer}")
        answer = "calibrated answer"
    lines.append(f"{answer}: {detection.calibrated_answer} {wrong}")
    if detection.preference:
        lines.append(detection.preference)
    if not detection.misunderstandings:
        lines.append(f"no misunderstanding found: {detection.reason}")
    for found in detection.misunderstandings:
        lines.append(
            f"misread: {found.text!r} at {found.span.start}; the features say: {found.reading}, "
            f"the {answer}: {detection.calibrated_answer}"
        )
        if why := why_sentence(found):
            lines += wrap(f"why: {why}", WIDTH, break_on_hyphens=False)
        if kind := kind_sentence(found):
            lines.append(kind)
        if found.concepts:
            lines.append(evidence_text(detection.prompt, found, detection.answer))
            continue
        lines += [
            f"  feature {f.id:>5}  {f.activation:6.2f}  weight {f.weight:+.3f}  {f.label}"
            for f in found.features
        ]
    return "\n".join(lines)


def answers_text(done: "Reformulation") -> str:
    """Returns the answers before and after a note: what the model says, calibrated beside it."""
    pairs = (
        ("before:", done.before, done.calibrated_before),
        ("after: ", done.after, done.calibrated_after),
    )
    return "\n".join(
        f"answer {when} {raw}" + (f" (calibrated: {calibrated})" if calibrated != raw else "")
        for when, raw, calibrated in pairs
    )
