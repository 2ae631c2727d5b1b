"""The figures that only some runs have: shown where they are, refused where they are damaged."""

import json
from pathlib import Path
from typing import Any

import pytest

from saetask.errors import UserError
from saetask.report.browser import item_data
from saetask.report.headline import headline
from saetask.report.render import render
from saetask.report.run_folder import read_run_folder
from saetask.report.sentences import (
    credit_sentence,
    probe_alone_sentence,
    second_question_sentence,
    undetectable_sentence,
)
from saetask.report.summary import Summary, read_summary
from tests.helpers.run_folders import (
    GATED,
    arm,
    compared,
    further,
    original,
    rows,
    summary,
    write_run,
)


def read(folder: Path, document: dict) -> Summary:
    path = folder / "summary.json"
    path.write_text(json.dumps(document))
    return read_summary(path)


def page_of(folder: Path, document: dict, item_rows: list[dict]) -> str:
    return render(read_run_folder(write_run(folder, document, item_rows)))


def with_dense_probe(auroc: float, kind: str = "detection") -> dict[str, Any]:
    """Returns a summary in which all controls are beaten and a dense probe was measured."""
    document = summary(placebo=arm(0.52), **GATED)
    document |= further(against=document["against"])
    document[kind]["baselines"]["dense-probe"] = {"auroc": auroc, "ci95": None, "n": 444}
    return document


def test_page_shows_every_figure(tmp_path: Path) -> None:
    document = summary(placebo=arm(0.52, detectable_difference=0.041)) | further()
    page = " ".join(page_of(tmp_path / "run", document, rows()).replace("\u00a0", " ").split())
    for expected in (
        "is right on 74.3 % of 444 items (95 % CI 70.0 to 78.0); saetask, which asks",
        "“the model now believes the probe”",
        "Finding credit: +10.0 points (95 % CI +6.0 to +14.0), saetask minus self",
        "No change is shown, +1.0 points (95 % CI −3.0 to +5.0, p = ",
        "could have shown (power 80 %), in points: placebo 4.1.",
        "annotating reached 75.0 %, the closed loop (read again, kept if better) 74.0 %; saetask",
        "The words of the text; no model.",
        "not clearly ahead of the best baseline: dense-probe reaches 0.790, saetask 0.810",
        "about &#39;mind&#39;",
        "−0.030 to +0.020",
        "Seed 1",
        "75.5 %",
    ):
        assert expected in page
    assert page.index("The probe alone") < page.index("Arms</h2>")
    assert 'id="against-chart"' in page and 'id="reading-chart"' in page


def test_page_of_an_older_run_has_no_empty_sections(tmp_path: Path) -> None:
    page = page_of(tmp_path / "run", summary(), rows())
    for absent in ("The probe alone", "against each control", "second question", "Mechanism"):
        assert absent not in page
    for absent in (
        "Spread over seeds",
        "Which reading is right",
        "power 80",
        "On the fit split one",
    ):
        assert absent not in page


def test_probe_alone_without_a_second_question_says_so(tmp_path: Path) -> None:
    document = summary() | further(second_question=None)
    page = page_of(tmp_path / "run", document, rows())
    assert "and this run asked none" in page and "#second-question" not in page


@pytest.mark.parametrize("kind", ["detection", "reading_detection"])
def test_headline_begins_with_a_better_dense_probe(tmp_path: Path, kind: str) -> None:
    upper = {"detection": 0.82, "reading_detection": 0.85}[kind]
    within = headline(read(tmp_path, with_dense_probe(upper, kind)))
    assert (within.tone, within.caveat) == ("good", "")
    beyond = headline(read(tmp_path, with_dense_probe(upper + 0.01, kind)))
    assert beyond.tone == "mixed" and beyond.verdict.endswith("a dense probe detects better")
    assert f"AUROC of {upper + 0.01:.3f}" in beyond.caveat
    header = page_of(tmp_path / "run", with_dense_probe(upper + 0.01, kind), rows())
    assert header.index("A dense probe") < header.index("Arms</h2>")


def test_a_better_dense_probe_is_told_of_a_failed_run_too(tmp_path: Path) -> None:
    document = with_dense_probe(0.9)
    document["arms"]["saetask"] |= arm(0.40, -0.12, mcnemar_p=1e-6)
    found = headline(read(tmp_path, document))
    assert (found.verdict, found.tone) == ("Worse", "bad") and "0.900" in found.caveat


@pytest.mark.parametrize(
    ("entry", "is_beaten"),
    [
        (compared(0.05) | {"holm_p": 0.01}, True),
        (compared(0.05) | {"holm_p": 0.2}, False),
        (compared(0.05, 0.06) | {"holm_p": 0.01}, False),
        (compared(-0.05) | {"holm_p": 0.01}, False),
    ],
)
def test_paired_comparison_decides_over_arms_intervals(
    tmp_path: Path, entry: dict, is_beaten: bool
) -> None:
    # By the intervals of the two arms alone the placebo would not be beaten.
    document = summary(placebo=arm(0.72, 0.20), **GATED)
    document["against"]["placebo"] = entry
    assert headline(read(tmp_path, document)).tone == ("good" if is_beaten else "mixed")


@pytest.mark.parametrize(
    ("interval", "expected"),
    [([0.01, 0.1], "explains them"), ([-0.01, 0.1], "not shown"), ([-0.1, -0.01], "not shown")],
)
def test_credit_is_given_only_above_zero(tmp_path: Path, interval: list, expected: str) -> None:
    credit = {"control": "self", "difference": sum(interval) / 2, "ci95": interval}
    document = summary(self=arm(0.5), placebo=arm(0.5), dense_probe=arm(0.5))
    sentence = credit_sentence(read(tmp_path, document | further(credit=credit)))
    assert expected in sentence and "minus self, the best of self and placebo, which" in sentence


@pytest.mark.parametrize(
    ("saetask", "placebo", "expected"),
    [
        (arm(0.6, 0.11, mcnemar_p=1e-5), arm(0.49, 0.0), "improve too, +11.0 points"),
        (arm(0.6, 0.11, mcnemar_p=1e-5), arm(0.57, 0.08), "with the placebo as well (+8.0)"),
        (arm(0.6, 0.11, mcnemar_p=0.3), arm(0.49, 0.0), "No change is shown"),
        (arm(0.4, -0.09, mcnemar_p=1e-5), arm(0.49, 0.0), "worse: −9.0"),
        (original(0.4), arm(0.49, 0.0), "not measured"),
    ],
)
@pytest.mark.parametrize("control", ["placebo", "gated-placebo"])
def test_second_question_claims_no_more_than_shown(
    tmp_path: Path, control: str, saetask: dict, placebo: dict, expected: str
) -> None:
    arms = {"original": original(0.49), "saetask": saetask, control: placebo}
    second = read(tmp_path, summary() | {"second_question": {"n": 444, "arms": arms}})
    assert second.second_question
    assert expected in second_question_sentence(second.second_question)


def test_the_probe_alone_stands_beside_saetask_over_the_same_items(tmp_path: Path) -> None:
    probe = {"accuracy": 0.6, "ci95": [0.5, 0.7], "n": 84}
    for own, expected in ((0.7, "70.0 %"), (None, "74.1 %")):
        found = read(tmp_path, summary() | further(probe_alone=probe | {"saetask": own}))
        assert found.probe_alone
        sentence = probe_alone_sentence(found.probe_alone, found.arms["saetask"])
        assert "60.0 % of 84 items" in sentence and sentence.endswith(f"the model, {expected}.")


def test_the_page_says_why_detection_was_not_measured(tmp_path: Path) -> None:
    gaps = {"saetask": None, "baselines": {"prompt-length": None}}
    document = summary() | {"detection": gaps, "not_measured": {"detection": "None <was> ranked."}}
    page = page_of(tmp_path / "run", document, rows())
    assert "None &lt;was&gt; ranked." in page
    assert 'id="detection-chart"' not in page and "prompt-length" not in page
    assert "left out" not in page


def test_the_page_says_which_arms_were_left_out_and_why(tmp_path: Path) -> None:
    document = summary() | {"not_measured": {"random-feature": "It <uses> no feature."}}
    page = page_of(tmp_path / "run", document, rows())
    assert "random-feature was left out. It &lt;uses&gt; no feature." in page
    assert page.index("was left out") < page.index("Detection</h2>")


def test_hostile_names_stay_texts(tmp_path: Path) -> None:
    hostile = "<img src=x>{{ 7 * 7 }}"
    credit = {"control": hostile, "difference": 0.1, "ci95": [0.0, 0.2]}
    document = summary() | further(credit=credit)
    document["mechanism"][0]["label"] = hostile
    document["against"][hostile] = compared(0.1)
    document["arms"][hostile] = document["arms"]["saetask"]
    document["second_question"]["arms"][hostile] = arm(0.5)
    document["seeds"]["arms"][hostile] = document["seeds"]["arms"]["saetask"]
    document["reading_detection"]["baselines"][hostile] = {"auroc": 0.5, "ci95": None, "n": 3}
    page = page_of(tmp_path / "run", document, rows())
    assert "<img" not in page and "{{ 7 * 7 }}" in page


def test_rounds_reach_the_item_browser(tmp_path: Path) -> None:
    original, saetask = rows()
    trace = {"annotation": "</script>", "failure_before": 0.7, "failure_after": 0.6, "kept": True}
    trace |= {"text": "</script>", "placement": "end", "annotator": "sense-note"}
    document, with_rounds = summary(), [original, saetask | {"rounds": [trace]}]
    (item,) = read_run_folder(write_run(tmp_path / "run", document, with_rounds)).items.every
    (found,) = item.rounds
    assert (found.annotation, found.failure_before, found.kept) == ("</script>", 0.7, True)
    (row,) = item_data(read_run_folder(tmp_path / "run").items, "scores")["items"]
    assert row["rounds"][0]["annotation"] == "</script>"


@pytest.mark.parametrize("value", [1, ["kept"], [{"annotation": "a", "kept": "yes"}]])
def test_damaged_rounds_are_refused_with_their_line(tmp_path: Path, value: Any) -> None:
    original, saetask = rows()
    folder = write_run(tmp_path / "run", summary(), [original, saetask | {"rounds": value}])
    with pytest.raises(UserError, match=r"items\.jsonl:2"):
        read_run_folder(folder)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"against": {"placebo": 1}}, "placebo"),
        ({"credit": {"control": "self", "difference": "much"}}, "difference"),
        ({"probe_alone": {"n": 3, "accuracy": 74}}, "less than or equal to 1"),
        (
            {"second_question": {"n": 1, "arms": {"original": original(0.5) | {"n": 0}}}},
            "greater than 0",
        ),
        ({"mechanism": {"feature": 1}}, "mechanism"),
        ({"mechanism": [further()["mechanism"][0] | {"random": [0.1]}]}, "random"),
        ({"rounds": {"used": "one", "one": 2}}, "one"),
        ({"seeds": further()["seeds"] | {"seeds": [0, 1, 2]}}, "one a seed"),
        ({"arms": {"saetask": {"n": 1, "difference": 0.5}}}, "saetask"),
        ({"seeds": {"seeds": ["a"]}}, "seeds"),
        ({"not_measured": ["detection"]}, "not_measured"),
        ({"not_measured": {"detection": {}}}, "detection"),
    ],
)
def test_damaged_figures_are_refused(tmp_path: Path, change: dict, expected: str) -> None:
    with pytest.raises(UserError, match=rf"summary\.json.*{expected}") as caught:
        read(tmp_path, summary() | change)
    assert "\n" not in str(caught.value)


NULLABLE = {"probe_alone", "rounds", "second_question"}


@pytest.mark.parametrize("key", sorted(further().keys() - {"against", "reading_detection"}))
def test_each_figure_may_be_missing_alone(tmp_path: Path, key: str) -> None:
    document = summary() | further() | {key: None}
    if key not in NULLABLE:
        del document[key]
    assert json.loads(json.dumps(read(tmp_path, document).to_json())) == document
    assert "Arms</h2>" in page_of(tmp_path / "run", document, rows())


def test_a_comparison_without_its_p_value_is_refused(tmp_path: Path) -> None:
    document = summary()
    del document["arms"]["saetask"]["holm_p"]
    expected = "field 'arms': 'saetask': expected \"holm_p\" beside"
    with pytest.raises(UserError, match=expected):
        read(tmp_path, document)


@pytest.mark.parametrize(("accuracy", "word"), [(1.0, "is right"), (0.0, "is wrong")])
def test_answers_of_one_kind_leave_nothing_to_detect(accuracy: float, word: str) -> None:
    assert f"{word}: there is nothing to detect" in undetectable_sentence(accuracy)
    assert undetectable_sentence(0.5) == ""
