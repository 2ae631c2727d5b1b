"""Why a detector finds no misunderstanding in a prompt."""

from saetask.detection.base import BaseDetector, Finding

NO_SIGNAL = "the features predict nothing on the fit split"
"""Value of `Detector.silence` where the weight of the features is zero."""
ANSWER_AGREES = "the model's calibrated answer is the most probable reading"
"""Why nothing is found in a prompt by a detector that can find something."""
CLOSE = 0.3
"""Probability that the answer is wrong from which it is a close call."""


def reason_for_silence(detector: BaseDetector, finding: Finding) -> str:
    """Returns why a detector finds no misunderstanding in a prompt; "" where it finds one.

    Args:
        detector: The detector, fitted.
        finding: What it finds in the prompt.
    """
    if finding.misunderstandings:
        return ""
    if silence := getattr(detector, "silence", None):
        return silence
    return f"{ANSWER_AGREES}, if only just" if finding.failure >= CLOSE else ANSWER_AGREES
