"""What a session finds in a prompt, in lines for people."""

from textwrap import wrap
from typing import TYPE_CHECKING

from saetask.cli.evidence import WIDTH, evidence_text

SURE = 2 / 3
"""Probability that the answer is wrong below which a finding is called one with care."""

if TYPE_CHECKING:
    from saetask.detection.base import Misunderstanding
    from saetask.session import Detection, Reformulation


def detection_text(detection: "Detection") -> str:
    """Returns a detection in a few lines, which fit the terminal."""
    from saetask.cli.tables import terminal_width, wrapped

    width = terminal_width()
    lines = [wrapped(line, width) for line in _answer_lines(detection)]
    for found in detection.misunderstandings:
        lines += [wrapped(line, width) for line in _finding_lines(found, detection)]
        if found.concepts:
            answer = f"the {_judged_answer(detection)} is “{detection.calibrated_answer}”"
            lines.append(evidence_text(detection.prompt, found, answer))
    return "\n".join(lines)


def _answer_lines(detection: "Detection") -> list[str]:
    """Returns what the model answers, and why nothing is found where nothing is."""
    from saetask.session.results import failure_text

    wrong = f"(probability that it is wrong: {failure_text(detection)})"
    lines = [f"{_judged_answer(detection)}: {detection.calibrated_answer} {wrong}"]
    if _judged_answer(detection) != "answer":
        lines.insert(0, f"answer: {detection.answer}")
    if detection.preference:
        lines.append(detection.preference)
    if not detection.misunderstandings:
        leaning = "that preference" if detection.preference else "what it says to all prompts"
        differs = detection.calibrated_answer != detection.answer
        told = f"; it says {detection.answer!r} by {leaning} alone" if differs else ""
        lines.append(f"no misunderstanding found: {detection.reason}{told}")
    return lines


def _judged_answer(detection: "Detection") -> str:
    """Returns what the answer is called that a finding speaks against."""
    is_raw = not detection.preference and detection.calibrated_answer == detection.answer
    return "answer" if is_raw else "calibrated answer"


def _finding_lines(found: "Misunderstanding", detection: "Detection") -> list[str]:
    """Returns what is misread, and the features behind it where no concepts are."""
    from saetask.cli.tables import terminal_width
    from saetask.report.understanding import kind_sentence
    from saetask.report.why import why_sentence

    said, counts_as = detection.answer, detection.calibrated_answer
    counted = f" less firmly than usual, which counts as {counts_as!r}" if said != counts_as else ""
    width = terminal_width() or WIDTH
    lines = wrap(
        f"{_headline(found)}: {_place(found, detection.prompt)}; the model says {said!r}{counted}; "
        f"the features of the prompt say: {found.reading}",
        width,
        break_on_hyphens=False,
    )
    if why := why_sentence(found):
        lines += wrap(f"why: {why}", width, break_on_hyphens=False)
    if kind := kind_sentence(found):
        lines.append(kind)
    lines += _nearest_lines(found)
    if not found.concepts:
        lines += [
            f"  feature {f.id:>5}  {f.activation:6.2f}  weight {f.weight:+.3f}  {f.label}"
            for f in found.features
        ]
    return lines


def _headline(found: "Misunderstanding") -> str:
    """Returns how surely a prompt counts as misread."""
    from saetask.report.evidence import WEAK

    if found.log_odds is not None and 0 < found.log_odds < WEAK:
        return "undecided, perhaps misread"
    return "perhaps misread" if found.probability < SURE else "misread"


def _nearest_lines(found: "Misunderstanding") -> list[str]:
    """Returns the known prompts with the most alike evidence, with their readings."""
    from saetask.cli.tables import terminal_width
    from saetask.report.evidence import MOST_NEAREST, nearest_heading

    if not found.nearest:
        return []
    shown, width = found.nearest[:MOST_NEAREST], terminal_width() or WIDTH
    longest = max(len(near.reading) for near in shown)
    indent = " " * (longest + 4)
    lines = [
        line
        for near in shown
        for line in wrap(
            near.text,
            width,
            initial_indent=f"  {near.reading:{longest}}  ",
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
    ]
    return [f"{nearest_heading(found)}:", *lines]


def _place(found: "Misunderstanding", prompt: str) -> str:
    """Returns what is misread, and where it stands if the prompt has it more than once."""
    if found.text.strip() == prompt.strip():
        return "the prompt"
    repeated = prompt.lower().count(found.text.lower()) > 1
    return repr(found.text) + f" at character {found.span.start}" * repeated


def answers_text(done: "Reformulation") -> str:
    """Returns the answers before and after a note: what the model says, calibrated beside it."""
    answers = (done.before, done.calibrated_before), (done.after, done.calibrated_after)
    differs = any(raw != calibrated for raw, calibrated in answers)
    return "\n".join(
        f"answer {when} {raw}" + (f" (calibrated: {calibrated})" if differs else "")
        for when, (raw, calibrated) in zip(("before:", "after: "), answers)
    )
