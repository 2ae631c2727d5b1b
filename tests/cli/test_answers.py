"""What is printed of one prompt: what the model says first, the calibrated answer beside it."""

import pytest

from saetask.cli.answers import answers_text, detection_text
from saetask.data.prompts import Span
from saetask.detection import Misunderstanding
from saetask.detection.silence import ANSWER_AGREES
from saetask.session import Detection, Reformulation

FEATURES = "the features of the prompt say: literal"
FOUND = Misunderstanding("probe", Span(3, 10), "steered", "literal", 0.9, [])


def detection(raw: str, calibrated: str, preference: str = "") -> Detection:
    return Detection("He steered.", raw, calibrated, 0.9, [FOUND], "", preference)


def test_one_line_is_enough_where_no_preference_is_taken_out() -> None:
    assert detection_text(detection("metaphorical", "metaphorical")).splitlines() == [
        "answer: metaphorical (probability that it is wrong: 90%)",
        f"misread: 'steered'; the model says 'metaphorical'; {FEATURES}",
    ]


@pytest.mark.parametrize(("calibrated", "preference"), [("odd", ""), ("even", "it says even")])
def test_what_the_model_says_stands_above_the_calibrated_answer(
    calibrated: str, preference: str
) -> None:
    printed = detection_text(detection("even", calibrated, preference))
    said, judged, *told = printed[: printed.index("\nmisread")].splitlines()
    misread = printed[printed.index("misread") :].replace("\n", " ")
    assert said == "answer: even"
    assert judged == f"calibrated answer: {calibrated} (probability that it is wrong: 90%)"
    assert told == [preference] * bool(preference)
    counted = f" less firmly than usual, which counts as '{calibrated}'"
    counted = counted if calibrated != "even" else ""
    assert misread == (f"misread: 'steered'; the model says 'even'{counted}; {FEATURES}")


def test_without_a_finding_the_reason_names_the_calibrated_answer() -> None:
    found = detection("even", "odd")._replace(misunderstandings=[], reason=ANSWER_AGREES)
    (*_, last) = detection_text(found).splitlines()
    assert last == (
        "no misunderstanding found: the model's calibrated answer is the most probable reading; it "
        "says 'even' by what it says to all prompts alone"
    )


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({}, "misread: 'steered'; "),
        ({"text": "He steered."}, "misread: the prompt; "),
        ({"text": "e"}, "misread: 'e' at character 3; "),
        ({"probability": 0.6}, "perhaps misread: 'steered'; "),
    ],
)
def test_what_is_misread_is_told_as_surely_and_exactly_as_needed(changes, begins) -> None:
    found = detection("even", "odd")._replace(misunderstandings=[FOUND._replace(**changes)])
    assert f"\n{begins}" in detection_text(found)


def test_before_and_after_are_what_the_model_says() -> None:
    done = Reformulation(detection("even", "odd"), "asked", [], "even", "even", "odd", "even")
    assert answers_text(done) == (
        "answer before: even (calibrated: odd)\nanswer after:  even (calibrated: even)"
    )
