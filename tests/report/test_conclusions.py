"""The four lines of a run: in their order, with their figures, and no more than is shown."""

import json
from pathlib import Path

import pytest

from benchmarks.pages import ROOT
from saetask.report.conclusions import gate_text, note_text, raw_answers_text, sae_text
from saetask.report.questions import answers
from saetask.report.render import render
from saetask.report.run_folder import read_run_folder
from saetask.report.sentences import MISREAD, nearly_only_answer
from saetask.report.summary import Summary, read_summary
from tests.helpers.run_folders import (
    GATED,
    arm,
    compared,
    fold,
    further,
    raw_rows,
    rows,
    summary,
    with_raw,
    write_run,
)


def document() -> dict:
    """Returns a summary with all that the four lines tell."""
    return with_raw(summary(shuffled=arm(0.5, -0.02), **GATED) | further(against={})) | {
        "against": {
            name: compared(gap) | {"raw": compared(gap + 0.1)}
            for name, gap in (("gate-only", 0.14), ("gated-placebo", 0.16), ("shuffled", 0.24))
        }
    }


def lines(changed: dict) -> list[str]:
    read = Summary.model_validate(changed)
    return [text(read) for text in (raw_answers_text, gate_text, note_text, sae_text)]


def test_the_lines_hold_their_figures() -> None:
    says, gate, note, sae = lines(document())
    assert says == (
        "It says “literal” to 60.0 %, “metaphorical” to 40.0 % of the original prompts. Right are "
        "50.0 % (95 % CI 44.0 to 56.0); chance is 50.0 %, always giving the most frequent reading "
        "48.0 %. Calibrated: 52.0 %."
    )
    assert "gate-only minus original" in gate and "+8.0 points (95 % CI +4.0 to +12.0" in gate
    assert "saetask minus gate-only, the best control with its gate" in note
    assert "(+16.0 over gated-placebo, +24.0 over shuffled): +14.0 points" in note
    assert note.endswith(
        "minus gate-only: +24.0 points (95 % CI +20.0 to +28.0, Holm p = 2e-9): shown."
    )
    assert "minus random-sae (mean of 3 random dictionaries)" in sae and "−1.0 points" in sae
    assert "the detector's own answer, the model not asked: −5.0 points" in sae


@pytest.mark.parametrize(("slopes", "n"), [((0.0, 0.049, 0.05), 2), ((0.05, 1.0, 1.0), 0)])
def test_folds_whose_calibration_leaves_nothing_of_the_answer_are_counted(
    slopes: tuple[float, ...], n: int
) -> None:
    folds = [fold(answer_slope=slope) for slope in slopes]
    says, *_ = lines(document() | {"selection": {"folds": folds}})
    counted = f"In {n} of 3 folds the calibration leaves next to nothing of what the model says"
    assert (counted in says) == (n > 0)
    assert ("folds" in says) == (n > 0)


@pytest.mark.parametrize(
    ("gap", "p", "words"),
    [
        (0.1, 0.01, ("needs no note", "what the note says helps", "SAE adds", "note is better")),
        (0.1, 0.06, ("not shown", "not shown to help", "not shown to matter", "neither is")),
        (0.02, 0.01, ("not shown", "not shown to help", "not shown to matter", "neither is")),
        (-0.1, 0.01, ("worse", "not shown to help", "does worse", "as the answer is better")),
    ],
)
def test_a_difference_is_shown_by_its_interval_and_its_p_value(
    gap: float, p: float, words: tuple[str, ...]
) -> None:
    changed, figures = document(), compared(gap) | {"holm_p": p}
    changed["arms"]["gate-only"] |= compared(gap, interval="difference_ci95") | {"holm_p": p}
    changed["against"]["gate-only"] = figures
    changed["against"] = {"gate-only": figures}
    changed["sae_credit"] |= {name: figures[name] for name in ("difference", "ci95", "holm_p")}
    changed["probe_alone"]["comparison"] = figures
    for line, expected in zip(lines(changed)[1:], words):
        assert expected in line
    assert words[3] in lines(changed)[3]


@pytest.mark.parametrize(("share", "told"), [(0.89, False), (0.9, True), (1.0, True)])
def test_one_answer_to_nearly_everything_is_told_plainly(share: float, told: bool) -> None:
    answers = {"literal": share, "metaphorical": 1 - share}
    changed = document()
    changed["bias"]["raw_answers"] = answers
    assert ("a single answer tells little" in lines(changed)[0]) is told
    assert nearly_only_answer(answers) == ("literal" if told else None)
    assert nearly_only_answer({}) is None


def test_an_empty_note_neither_helps_nor_harms_however_much_the_gate_does() -> None:
    changed = document()
    far, level = compared(-0.4) | {"holm_p": 1e-4}, compared(0.0) | {"holm_p": 1.0}
    changed["against"] = {"gate-only": far, "gated-placebo": level}
    changed["arms"]["saetask"] |= compared(0.0, interval="difference_ci95") | {"holm_p": 1.0}
    assert "what the note says is not shown to help" in lines(changed)[2]


def test_a_note_harms_where_it_is_below_the_original_and_a_neutral_note() -> None:
    changed = document()
    below = compared(-0.1) | {"holm_p": 0.01}
    changed["against"] = {"gate-only": below, "gated-placebo": below}
    changed["arms"]["saetask"] |= compared(-0.1, interval="difference_ci95") | {"holm_p": 0.01}
    assert "what the note says makes the answers worse" in lines(changed)[2]


def test_another_items_finding_that_is_mostly_the_same_is_no_control() -> None:
    changed = document()
    changed["against"]["shuffled"] = compared(0.0) | {"holm_p": 1.0}
    changed["arms"]["shuffled"] |= {"annotated": 30, "same_notes": 10}
    assert lines(changed)[2].startswith("saetask minus shuffled")
    changed["arms"]["shuffled"] |= {"same_notes": 20}
    assert "shuffled" not in lines(changed)[2]


def test_raw_answers_are_compared_with_the_control_that_is_best_by_them() -> None:
    changed = document()
    changed["against"]["shuffled"]["raw"] = compared(0.0) | {"holm_p": 1.0}
    note = lines(changed)[2]
    assert note.startswith("saetask minus gate-only") and "minus shuffled: 0.0 points" in note
    assert note.endswith("not shown.")
    for figures in changed["against"].values():
        del figures["raw"]
    assert lines(changed)[2].endswith("what the note says helps.")


def test_what_was_not_run_is_not_told() -> None:
    bare = lines(summary(placebo=arm(0.5), shuffled=arm(0.5)))
    assert all(line.startswith("Not measured: ") for line in bare)


def test_answers_that_are_no_candidate_are_not_named() -> None:
    changed = document()
    changed["bias"]["raw_answers"] = {"": 0.95, "addition": 0.05}
    assert lines(changed)[0].startswith("It says “addition” to 5.0 % of the original prompts.")
    changed["bias"]["raw_answers"] = {"": 1.0}
    assert lines(changed)[0].startswith("Right are 50.0 %")


def test_the_first_screen_has_the_type_the_six_questions_and_the_sense_of_misread(
    tmp_path: Path,
) -> None:
    page = render(read_run_folder(write_run(tmp_path / "run", document(), raw_rows())))
    header = page[: page.index("</header>")]
    asked = [
        each.question.replace("'", "&#39;") for each in answers(Summary.model_validate(document()))
    ]
    places = [header.index(f"<dt>{question}") for question in asked]
    assert places == sorted(places) and header.index("tiny in float32") < places[0]
    assert header.index("</dl>") < header.index('class="lead"')
    text = page.replace("&#39;", "'").replace("’", "'")
    assert text.count(MISREAD) == 1


def test_the_table_of_arms_has_chance_and_majority_below_original(tmp_path: Path) -> None:
    page = render(read_run_folder(write_run(tmp_path / "run", document(), raw_rows())))
    table = page[page.index('id="accuracy-table"') :]
    table = table[: table.index("</table>")]
    original, chance, majority, gate = (
        table.index(f">{name}</th>") for name in ("original", "chance", "majority", "gate-only")
    )
    assert original < chance < majority < gate
    chance, majority = (table[start : table.index("</tr>", start)] for start in (chance, majority))
    assert chance.count("50.0 %") == majority.count("48.0 %") == 2
    assert "What the model says (raw)" in table and "70.0 %<small>64.0 to 76.0" in table


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "runs").glob("*.json")), ids=str)
def test_summaries_of_older_runs_are_rendered(tmp_path: Path, path: Path) -> None:
    older = json.loads(path.read_text(encoding="utf-8"))
    assert len(answers(read_summary(path))) == 6
    page = render(read_run_folder(write_run(tmp_path / "run", older, rows())))
    assert "Because it is the SAE" in page and 'id="accuracy-table"' in page
