"""What a session finds in one prompt: answers, misunderstandings, the prompt with its note."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from saetask.data.prompts import Message
from saetask.detection.base import Misunderstanding
from saetask.detection.calibration import UNCALIBRATED, Calibration
from saetask.report.notebook import findings_html
from saetask.report.sentences import nearly_only_answer


class Answers(NamedTuple):
    """The likeliest candidate as the model says it, and once a bias is removed."""

    raw: str
    calibrated: str


class Detection(NamedTuple):
    """Result of detection in one prompt."""

    prompt: str
    """The text that was given; spans count in it."""
    answer: str
    """The raw answer: what the model says to it."""
    calibrated_answer: str
    """The same once a constant preference for some reading is taken out, where the fit split shows
    one. A misunderstanding is a reading that the features support against this answer."""
    failure: float
    """Calibrated probability that the calibrated answer is wrong."""
    misunderstandings: list[Misunderstanding]
    reason: str = ""
    """Why there is no misunderstanding, where there is none."""
    preference: str = ""
    """A sentence on what the model says to nearly every prompt, where it does."""

    def _repr_html_(self) -> str:
        return findings_html(self.prompt, self.misunderstandings, facts(self))


class Reformulation(NamedTuple):
    """A prompt with the finding in it written back as a note, and the answers to both."""

    detection: Detection
    reformulated: str
    """The prompt with its annotation; the same prompt where nothing was found."""
    annotations: list[str]
    before: str
    """What the model says to the prompt as it is."""
    after: str
    """What it says to the annotated prompt."""
    calibrated_before: str
    """The calibrated answer to the prompt as it is."""
    calibrated_after: str
    """The calibrated answer to the annotated prompt, whose offset is one of annotated prompts."""
    messages: Sequence[Message] = ()
    """The messages of `reformulated`: a note may stand in one of the role `system`."""

    def _repr_html_(self) -> str:
        found = self.detection
        return findings_html(found.prompt, found.misunderstandings, facts(self))


def failure_text(detection: Detection) -> str:
    """Returns the probability that the calibrated answer is wrong, in percent."""
    # No answer is certain: what rounds to 100 % is said to be above 99 %, and 0 % below 1 %.
    if detection.failure > 0.994:
        return ">99%"
    return "<1%" if detection.failure < 0.005 else f"{detection.failure:.0%}"


def detection_facts(detection: Detection) -> dict[str, str]:
    """Returns what a detection says beside its evidence, by name."""
    wrong = f"(probability that it is wrong: {failure_text(detection)})"
    return {
        "the model says": detection.answer,
        "calibrated answer": f"{detection.calibrated_answer} {wrong}",
        "preference": detection.preference,
        "no misunderstanding found": detection.reason,
        "misread": "; ".join(
            f"“{found.text}”: the features say “{found.reading}”"
            for found in detection.misunderstandings
        ),
    }


def facts(found: Detection | Reformulation) -> dict[str, str]:
    """Returns what stands above the evidence, by name; texts may be empty."""
    if isinstance(found, Detection):
        return detection_facts(found)
    return detection_facts(found.detection) | {
        "reformulated prompt": found.reformulated,
        "answer before": found.before,
        "answer after": found.after,
    }


def preference_sentence(
    raw_answers: Mapping[str, float], bias: Calibration, answers: Answers
) -> str:
    """Returns what the model says to nearly every prompt; "" where it tells prompts apart.

    Args:
        raw_answers: Share of raw answers that stand for each reading, on the fit split.
        bias: The calibration of answers to prompts as they are.
        answers: Those to the prompt at hand.
    """
    reading = nearly_only_answer(raw_answers)
    if reading is None:
        return ""
    share = f"{raw_answers[reading]:.0%}".replace("%", " %")
    sentence = (
        f"the model says '{reading}' to {share} of the prompts that the detector was fitted on, so "
        "what it says tells little about this one"
    )
    if bias == UNCALIBRATED:
        return sentence
    still = "still " if answers.calibrated == answers.raw else ""
    return (
        f"{sentence}; judged is what it answers with that preference taken out: {still}"
        f"'{answers.calibrated}'"
    )
