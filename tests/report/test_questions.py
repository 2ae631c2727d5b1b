"""The first page: six questions in their order, each with the verdict that its figures allow."""

from pathlib import Path
from typing import Any

import pytest

from saetask.report.layer_chart import layer_panels
from saetask.report.questions import Answer, answers, verdicts_line
from saetask.report.render import render
from saetask.report.run_folder import read_run_folder
from saetask.report.summary import Summary
from tests.helpers.run_folders import GATED, arm, compared, raw_rows, summary, with_raw, write_run

HOOKS = [f"blocks.{layer}.hook_resid_post" for layer in range(4)]
SHOWN, LEVEL = compared(0.2) | {"holm_p": 0.001}, compared(0.0) | {"holm_p": 1.0}
BELOW = compared(-0.2) | {"holm_p": 0.001}


def layers(accuracy: float, shift: float | None = None) -> dict[str, Any]:
    n = len(HOOKS) + 1
    figures: dict[str, Any] = {
        "n": 40,
        "accuracy": [accuracy] * n,
        "accuracy_ci95": [[0.5, 1.0]] * n,
    }
    if shift is not None:
        interval = [shift - 0.1, shift + 0.1]
        figures |= {
            "shift": [shift] * n,
            "shift_ci95": [interval] * n,
            "p": [0.5] * n,
            "holm_p": 0.9,
        }
    return figures


def noted(accuracy: float, shift: float | None = None) -> dict[str, Any]:
    return {name: layers(accuracy, shift) for name in ("every", "right", "wrong")}


def obedience(difference: float, p: float) -> dict[str, Any]:
    ends = [difference - 0.05, difference + 0.05]
    right, wrong = 0.5 + difference / 2, 0.5 - difference / 2
    shares = {"n": 60, "right": right, "wrong": wrong, "before": 0.2}
    return shares | {"difference": difference, "ci95": ends, "p": p}


def document(obeyed: dict[str, Any] | None = None, inside: bool = True) -> dict[str, Any]:
    """Returns a summary that answers all questions."""
    changed = with_raw(summary(shuffled=arm(0.5), contrary=arm(0.3), **GATED))
    notes = {"none": noted(0.9), "right": noted(0.91, 0.02), "wrong": noted(0.89, -0.01)}
    place = {"readers": [*HOOKS, "SAE"], "notes_before": 0.75, "notes": notes}
    kinds = {"n": 50, "misreport": 45, "misreading": 5, "unknown": 0}
    found: dict[str, Any] = {
        "findings": kinds | {"misreport_right": 0.96, "misreading_right": 0.4},
        "obedience": obeyed or obedience(0.0, 1.0),
    }
    if inside:
        places = [{"place": name, **place} for name in ("target", "answer")]
        found |= {"sae_reader": HOOKS[2], "inside": places}
    return changed | {"understanding": found}


def asked(changed: dict[str, Any]) -> list[Answer]:
    return answers(Summary.model_validate(changed))


def test_the_questions_stand_in_their_order() -> None:
    words = ["better", "gate", "finding", "SAE", "believed", "opposite"]
    for answer, word in zip(asked(document()), words, strict=True):
        assert word in answer.question
    assert [answer.verdict for answer in asked(document())][-1] is None


@pytest.mark.parametrize(
    ("raw", "calibrated", "verdict"),
    [
        (SHOWN, SHOWN, "Yes"),
        (LEVEL, SHOWN, "In part"),
        (LEVEL, LEVEL, "Not shown"),
        (BELOW, BELOW, "No"),
        (BELOW, LEVEL, "No"),
    ],
)
def test_an_answer_is_better_if_it_is_so_raw_and_calibrated(
    raw: dict[str, Any], calibrated: dict[str, Any], verdict: str
) -> None:
    changed = document()

    def as_arm(figures: dict[str, Any]) -> dict[str, Any]:
        return {"difference_ci95" if k == "ci95" else k: v for k, v in figures.items()}

    changed["arms"]["saetask"] |= as_arm(calibrated)
    changed["arms"]["saetask"]["raw"] |= as_arm(raw)
    assert asked(changed)[0].verdict == verdict


@pytest.mark.parametrize(
    ("difference", "p", "verdict"),
    [(0.0, 1.0, "Not shown"), (0.4, 0.001, "Yes"), (0.4, 0.2, "Not shown")],
)
def test_notes_are_understood_if_wrong_ones_are_followed_less(
    difference: float, p: float, verdict: str
) -> None:
    answer = asked(document(obedience(difference, p)))[4]
    assert answer.verdict == verdict and "of 60 items" in answer.text


def test_the_inside_is_told_with_what_can_not_change() -> None:
    text = asked(document())[4].text
    assert "90.0 % of 40 items answered wrong" in text
    assert "a right note +0.02 (−0.08 to +0.12) nats" in text
    assert "75.0 % of the notes stand before it" in text
    assert "--understanding" in asked(document(inside=False))[4].text


def test_a_question_whose_arms_were_not_run_says_how_to_run_them() -> None:
    bare = asked(summary(placebo=arm(0.5)))
    for answer in bare[1:5]:
        assert (
            answer.verdict == "Not measured"
            and "saetask run metaphor --arms original," in answer.text
        )
    assert "contrary" in bare[2].text and "contrary" in bare[4].text


def test_what_is_not_shown_is_told_first() -> None:
    line = verdicts_line(asked(document()))
    assert line.index("It is not shown that ") < line.index("It is shown that ")
    assert line.endswith("It was not measured whether the trained SAE is needed.")


def test_a_control_with_the_same_notes_is_none() -> None:
    """Where another item's finding is the same note, nothing is compared."""
    changed = document()
    changed["arms"]["shuffled"] |= {"annotated": 200, "same_notes": 120}
    text = asked(changed)[2].text
    assert "shuffled is no control here: 120 of its 200 notes are those of saetask" in text
    assert "saetask minus shuffled" not in text
    assert "Any finding would do if shuffled" not in asked(changed)[5].text
    del changed["against"]["contrary"]
    assert asked(changed)[2].verdict == "Not measured"


def test_findings_are_counted_by_kind() -> None:
    text = asked(document())[2].text
    assert "45 misreports (the inside supports the finding), 96.0 % of them" in text
    assert "5 misreadings (it supports the answer), 40.0 % of them" in text


def test_the_figure_has_a_line_a_kind_of_note_and_a_panel_a_place() -> None:
    first, second = layer_panels(Summary.model_validate(document()).understanding)
    assert (first.title, second.title) == ("At the target", "Where the answer begins")
    assert [line.kind for line in first.lines] == ["none", "right", "wrong"]
    for line in first.lines:
        places = [float(place.split(",")[0]) for place in line.points.split()]
        assert len(places) == len(HOOKS) and places == sorted(places)
        assert line.at_sae[0] > places[-1]
    assert layer_panels(None) == []


@pytest.mark.parametrize("inside", [True, False])
def test_the_page_has_the_section(tmp_path: Path, inside: bool) -> None:
    page = render(read_run_folder(write_run(tmp_path / "run", document(inside=inside), raw_rows())))
    section = page[page.index('id="understanding"') :]
    assert ("<polyline" in section) == inside
    assert ("saetask run --understanding" in section) != inside
