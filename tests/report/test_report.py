"""The report: a run folder becomes one page that tells the truth and needs nothing else."""

import base64
import gzip
import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from saetask.errors import UserError
from saetask.report import write_report
from saetask.report.browser import MARKED, PLAIN, WRITTEN, marked_segments, written_segments
from saetask.report.headline import Headline, headline
from saetask.report.render import render
from saetask.report.run_folder import read_run_folder
from saetask.report.summary import read_summary
from tests.helpers.run_folders import (
    ENVIRONMENT,
    GATED,
    arm,
    compared,
    fold,
    original,
    raw_rows,
    rows,
    summary,
    with_raw,
    write_run,
)

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'{{ 7 * 7 }}\ud800"


def headline_of(folder: Path, document: dict) -> Headline:
    path = folder / "summary.json"
    path.write_text(json.dumps(document))
    return headline(read_summary(path))


def unpacked_items(page: str) -> dict:
    """Returns the data of the item browser in a page."""
    (packed,) = re.findall(r'<script type="text/plain" id="packed-items">(.*?)</script>', page)
    return json.loads(gzip.decompress(base64.b64decode(packed, validate=True)))


def test_headline_improved(tmp_path: Path) -> None:
    result = headline_of(tmp_path, summary(placebo=arm(0.52), always=arm(0.75, 0.23), **GATED))
    assert result.tone == "good" and result.verdict == "Improved"
    assert result.text.startswith(
        "saetask answers 74.1 % of 444 items right against 52.0 % for the original prompt: +22.1 "
        "points (95 % CI +18.1 to +26.1), 131 fixed, 33 broken, Holm p = 3e-15."
    )
    assert "best control, gate-only, reaches 60.0 %" in result.text
    assert "the gate adds nothing" in result.text


def test_headline_gives_raw_answers_beside_the_calibrated_ones(tmp_path: Path) -> None:
    result = headline_of(tmp_path, with_raw(summary(**GATED)))
    expected = "By raw answers, what the model says, 70.0 % against 50.0 %: +20.0 points (95 % CI "
    assert "by calibrated answers" in result.text and expected in result.text


@pytest.mark.parametrize("name", ["gate-only", "gated-placebo"])
@pytest.mark.parametrize("gap", [(0.0, 1.0), (0.05, 0.2), (-0.05, 0.001)])
def test_a_note_that_does_no_more_than_its_gate_is_no_improvement(
    tmp_path: Path, name: str, gap: tuple[float, float]
) -> None:
    # Feature labels or gibberish: far above original, and not above the same prompts without it.
    document = summary(shuffled=arm(0.6), **GATED)
    document["against"][name] = compared(gap[0], 0.01) | {"holm_p": gap[1]}
    result = headline_of(tmp_path, document)
    told = "the note is not shown to matter" if name == "gated-placebo" else "perhaps by the gate"
    assert result.verdict.startswith(f"Improved, but {told}") and result.tone == "bad"
    assert f"not shown to be above {name}, with the same prompts picked" in result.text


def test_an_improvement_without_controls_of_the_gate_is_not_called_one(tmp_path: Path) -> None:
    result = headline_of(tmp_path, summary(placebo=arm(0.52), shuffled=arm(0.5)))
    assert result.tone == "mixed" and result.verdict == "Improved, without controls of the gate"


@pytest.mark.parametrize(
    ("saetask", "expected"),
    [
        (arm(0.53, 0.01, mcnemar_p=0.6, holm_p=1.0), "No improvement is shown."),
        (arm(0.56, 0.04, 0.01, mcnemar_p=0.2), "No improvement is shown."),
        (arm(0.56, 0.04, 0.05, mcnemar_p=0.02), "No improvement is shown."),
        (arm(0.40, -0.12, mcnemar_p=1e-6), "It makes the answers worse."),
    ],
)
def test_headline_not_improved(tmp_path: Path, saetask: dict, expected: str) -> None:
    result = headline_of(tmp_path, summary(saetask=saetask, generic=arm(0.6, 0.08)))
    assert result.tone == "bad"
    assert expected in result.text
    assert "The control generic is higher (60.0 %)." in result.text


@pytest.mark.parametrize("name", ["placebo", "self", "dense_probe", "random_sae", "homemade"])
@pytest.mark.parametrize(
    ("control", "expected"),
    [(arm(0.75, 0.23), "is as good or better"), (arm(0.72, 0.20), "is not clearly behind")],
)
def test_headline_control_as_good(tmp_path: Path, name: str, control: dict, expected: str) -> None:
    arms = {"generic": arm(0.52), "oracle": arm(0.9, 0.4), name: control}
    result = headline_of(tmp_path, summary(**arms))
    assert result.tone == "mixed"
    assert re.search(rf"But {name.replace('_', '-')} \(7[25].0 %\) {expected}", result.text)
    assert expected.removeprefix("is ").removesuffix(" or better") in result.verdict


def test_headline_of_little(tmp_path: Path) -> None:
    document = summary()
    del document["arms"]["saetask"]
    assert headline_of(tmp_path, document).tone == "unknown"
    assert "no saetask arm" in headline_of(tmp_path, document).text
    assert "No control arm was run" in headline_of(tmp_path, summary()).text


def test_page_is_complete(tmp_path: Path) -> None:
    document = summary(oracle=arm(0.9, 0.38), placebo=arm(0.52), my_own_arm=arm(0.5))
    path = write_report(write_run(tmp_path / "run", document, rows()))
    assert path == tmp_path / "run" / "report.html"
    page = path.read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    for text in ("my-own-arm", "The purpose of my-own-arm.", "answer-margin", "0.780"):
        assert text in page
    assert "experiment: metaphor" in page and "two cores" in page
    assert "saetask is ahead of every baseline" in page
    assert page.index('id="accuracy-chart"') < page.index('id="detection-chart"')
    assert "items.jsonl holds 1 items, the summary counts" in page


def test_browser_rows_and_features(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", summary(), rows() + rows("🐄🐄. chews", "b"))
    run = read_run_folder(folder)
    (feature,) = run.items.features
    assert (feature.id, feature.named, feature.annotated) == (17, 2, 2)
    assert (feature.fixed, feature.broken) == (2, 0)
    data = unpacked_items(write_report(folder).read_text(encoding="utf-8"))
    assert (data["baseline"], data["method"]) == ("original", "saetask")
    first, second = data["items"]
    assert first["change"] == "fixed"
    assert first["prompt"] == [["She ", PLAIN], ["chews", MARKED], [" on an idea.", PLAIN]]
    assert second["prompt"][1] == ["chews", MARKED]
    assert first["asked"] == [["She chews on an idea.", PLAIN], [" Note.", WRITTEN]]
    (found,) = first["findings"]
    assert [data["features"][place] for place, _, _ in found["features"]] == [
        [17, "label of She chews on an idea."]
    ] * 2
    assert first["before"]["output"] == "literal" and first["after"]["parsed"] == "figurative"
    assert first["correct"] == [["original", False, None], ["saetask", True, None]]
    assert first["before"]["raw"] is None and first["before"]["rawScores"] == []


def test_before_and_after_are_what_the_model_says(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", summary(), raw_rows())
    page = write_report(folder).read_text(encoding="utf-8")
    (item,) = unpacked_items(page)["items"]
    # The calibrated answer was fixed; the model says the same as before.
    assert item["change"] == "right"
    assert item["correct"] == [["original", False, True], ["saetask", True, True]]
    before = item["before"]
    assert (before["raw"], before["output"]) == ("figurative", "literal")
    assert before["rawScores"] == [["literal", -9.25], ["figurative", -7.12]]
    assert before["scores"] == [["literal", -1.5]]
    (feature,) = read_run_folder(folder).items.features
    assert (feature.fixed, feature.broken) == (0, 0)
    assert "What saetask does to what the model says, in items" in page
    older = write_report(write_run(tmp_path / "older", summary(), rows())).read_text()
    assert "What saetask does to the calibrated answers, in items" in older


@pytest.mark.parametrize(
    ("ranking", "name"), [("likelihood", "log-likelihoods"), ("pmi", "scores (pmi)"), (None, "log")]
)
def test_only_log_likelihoods_are_called_so(tmp_path: Path, ranking: str | None, name: str) -> None:
    document = summary()
    if ranking:
        document["ranking"] = {"method": ranking, "n_tied": 0, "n_prefixes": 0}
    page = render(read_run_folder(write_run(tmp_path / "run", document, raw_rows())))
    assert unpacked_items(page)["scoreName"].startswith(name)
    assert "likelihood" not in (files("saetask.report") / "templates" / "browser.js").read_text()


def test_overlapping_and_impossible_spans(tmp_path: Path) -> None:
    run = read_run_folder(write_run(tmp_path / "run", summary(), rows()))
    (finding,) = run.items.every[0].findings

    def marked(prompt: str, *spans: tuple[int, int], text: str | None = None) -> str:
        findings = [
            finding.model_copy(update={"span": span, "text": text or "0123456789"[slice(*span)]})
            for span in spans
        ]
        segments = marked_segments(prompt, findings)
        assert "".join(text for text, _ in segments) == prompt
        return "".join(text for text, kind in segments if kind == MARKED)

    assert marked("0123456789", (1, 4), (2, 6), (8, 9), (7, 7)) == "123458"
    # Spans count in the last message; the prompt is all messages in lines.
    assert marked("A system message.\nAnd more.\n0123456789", (1, 4), (8, 9)) == "1238"
    # What does not stand where it should is not marked, rather than another word.
    assert marked("0123456789", (8, 99), text="9") == marked("0123456789", (1, 4), text="234") == ""


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    document = summary(**{HOSTILE: arm(0.5)})
    document["experiment"] = document["model"]["name"] = HOSTILE
    document["sae"]["name"] = document["arms"]["original"]["purpose"] = HOSTILE
    document["selection"]["folds"] = [fold(detector={HOSTILE: [HOSTILE]})]
    document["detection"]["baselines"][HOSTILE] = {"auroc": 0.5, "ci95": None, "n": 3}
    folder = write_run(tmp_path / "run", document, rows(HOSTILE, HOSTILE))
    (folder / "config.yaml").write_text(HOSTILE.replace("\ud800", ""))
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT | {"cpu": HOSTILE}))
    page = write_report(folder).read_text(encoding="utf-8")
    assert "<img" not in page and "<script>alert" not in page and "{{ 7 * 7 }}" in page
    # The scripts of the page: the items, and their browser.
    assert page.count("</script>") == len(re.findall(r"<script[ >]", page)) == 2
    (row,) = unpacked_items(page)["items"]
    assert row["id"] == HOSTILE and row["after"]["output"] == HOSTILE


def test_a_note_is_told_from_the_prompt_it_was_written_into() -> None:
    assert written_segments("Ask.", "Note.\nAsk.") == [("Note.\n", WRITTEN), ("Ask.", PLAIN)]
    inline = [("She chews ", PLAIN), ("(not food) ", WRITTEN), ("on it.", PLAIN)]
    assert written_segments("She chews on it.", "She chews (not food) on it.") == inline
    assert written_segments("", "anew") == [("anew", WRITTEN)]
    assert written_segments("same", "same") == [("same", PLAIN)]


def test_arms_of_any_name_are_compared_by_their_kind(tmp_path: Path) -> None:
    document = summary()
    arms = {"as-is": document["arms"]["original"], "features": document["arms"]["saetask"]}
    renamed = {"original": "as-is", "saetask": "features"}
    item_rows = [row | {"arm": renamed[row["arm"]]} for row in rows()]
    run = read_run_folder(write_run(tmp_path / "run", document | {"arms": arms}, item_rows))
    page = render(run)
    assert headline(run.summary).verdict == "Improved, without controls"
    assert run.items.every[0].change == "fixed" and unpacked_items(page)["method"] == "features"
    assert "what each changes against the arm as-is" in page


def test_arms_and_scores_may_be_missing(tmp_path: Path) -> None:
    document = summary()
    document["arms"] = {"original": document["arms"]["original"] | {"accuracy": 1.0}}
    page = render(read_run_folder(write_run(tmp_path / "a", document, rows()[:1])))
    assert "no saetask arm" in page and "there is nothing to detect" in page
    document |= {"arms": {}, "detection": {"saetask": None, "baselines": {}}}
    page = render(read_run_folder(write_run(tmp_path / "b", document, rows())))
    assert "The summary has no arms." in page


@pytest.mark.parametrize("name", ["summary.json", "items.jsonl", "config.yaml", "environment.json"])
def test_missing_file(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "run", summary(), rows())
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"{re.escape(name)} does not exist\. Mend"):
        write_report(folder)
    with pytest.raises(UserError, match="does not exist"):
        write_report(tmp_path / "none")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"id": "b", "arm": "orig', "not valid JSON"),
        ("[]", "expected a JSON object"),
        ({"arm": ""}, "field 'arm': expected a text that is not empty"),
        ({"arm": 1}, "field 'arm': expected a text that"),
        ({"id": "b", "correct": 1}, "field 'correct': expected a valid boolean, found 1."),
        ({}, "second row"),
        ({"id": "b", "annotations": [1]}, "field 'annotations': '0': expected a JSON object."),
        ({"id": "b", "fold": None}, "field 'fold': expected"),
        ({"id": "b", "folds": 1}, "field 'folds': it is not a known key."),
    ],
)
def test_damaged_line(tmp_path: Path, line: str | dict, expected: str) -> None:
    folder = write_run(tmp_path / "run", summary(), rows())
    with (folder / "items.jsonl").open("a") as file:
        file.write((line if isinstance(line, str) else json.dumps(rows()[0] | line)) + "\n")
    with pytest.raises(UserError, match=r"items\.jsonl:3") as caught:
        write_report(folder)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value) and not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"n_items": None}, "n_items"),
        ({"arms": []}, "arms"),
        ({"arms": {"original": original(0.5) | {"n": "3"}}}, "'arms': 'original.n': expected"),
        ({"detection": {"saetask": {"auroc": 0.5, "ci95": 1}}}, "ci95"),
        ({"another": 1}, "not a known key"),
    ],
)
def test_damaged_summary(tmp_path: Path, change: dict, expected: str) -> None:
    folder = write_run(tmp_path / "run", summary() | change, rows())
    with pytest.raises(UserError, match=rf"summary\.json.*{expected}"):
        write_report(folder)


def test_the_page_shows_how_well_concepts_explain_beside_controls(tmp_path: Path) -> None:
    faithful = {"effect": 3.5, "random": 0.33, "p": 0.0001}
    explanation = {
        "detector": "concept-probe",
        "n_concepts": 16,
        "k_per_finding": 9.4,
        "auroc": 0.9577,
        "auroc_dense": 0.9798,
        "auroc_words": 0.8949,
        "auroc_random_sae": 0.7381,
        "named_share": 0.8158,
        "validated_share": 0.8158,
        "additive_error": 4e-15,
        "stability": 0.3166,
        "necessity": faithful,
        "sufficiency": {"effect": None, "random": None, "p": 1.0},
    }
    document = {**summary(**GATED), "explanation": explanation}
    page = render(read_run_folder(write_run(tmp_path, document, rows())))
    section = page[page.index('id="explanation"') : page.index('id="items-heading"')]
    cells = re.findall(r"<t[dh][^>]*>([^<]*)<", section)
    for figure in ("0.958", "0.980", "0.895", "0.738", "3.50", "0.33", "0.82", "0.32"):
        assert figure in cells
    assert cells[-5:].count("–") >= 2  # what is not defined has no figure
    without = {**summary(**GATED), "explanation": None}
    page = render(read_run_folder(write_run(tmp_path / "without", without, rows())))
    assert 'id="explanation"' not in page


def test_a_discovery_is_refused_with_what_shows_it(tmp_path):
    (tmp_path / "discoveries.jsonl").touch()
    with pytest.raises(UserError, match=f"no run but a discovery.* --discovery {tmp_path}"):
        read_run_folder(tmp_path)


def test_an_interrupted_run_is_told_as_one(tmp_path):
    folder = write_run(tmp_path / "run", summary(), rows())
    (folder / "summary.json").unlink()
    (folder / "items.jsonl").unlink()
    with pytest.raises(UserError, match="is not finished; its command goes on"):
        read_run_folder(folder)
