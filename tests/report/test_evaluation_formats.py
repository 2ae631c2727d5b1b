"""An arm of a run in other programs' formats, read back by our importers and by those programs."""

import json
import sys
from pathlib import Path

import pytest

from saetask.cli.main import main
from saetask.data import LogFields, read_log
from saetask.plugins import PluginRegistry
from saetask.report.evaluation_formats import write_evaluation
from tests.helpers.refusals import refusal
from tests.helpers.run_folders import raw_rows, rows, summary, with_raw, write_run

FORMATS = {"inspect": "log.eval", "lm-eval": "samples_metaphor.jsonl"}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of three items in two arms, raw answers among them."""
    items = [row for n in "abc" for row in raw_rows(f"The idea «{n}» — chews.", n)]
    return write_run(tmp_path_factory.mktemp("run"), with_raw(summary()), items)


def read(log: Path, **fields):
    importers = PluginRegistry().by_name("importer")
    return list(read_log(str(log), "auto", LogFields(**fields), importers))


def read_back(run: Path, to: str, arm: str, metric: str, folder: Path):
    if to == "inspect":
        pytest.importorskip("inspect_ai")
    out = write_evaluation(run, arm, to, folder / FORMATS[to])
    return read(out, metric=metric if to == "inspect" else f"acc_{metric}")


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("arm", ["original", "saetask"])
def test_our_importer_reads_the_same_items_as_from_the_run(run, to, arm, tmp_path) -> None:
    expected = read(run, arm=arm)
    found = read_back(run, to, arm, "raw", tmp_path)
    assert [i.id for i in found] == [i.id for i in expected]
    assert [i.correct for i in found] == [i.correct for i in expected]
    assert [i.output for i in found] == [i.output.strip() for i in expected]
    texts = [i.prompt if isinstance(i.prompt, str) else i.prompt.content for i in found]
    assert texts == [i.prompt.content for i in expected]
    assert [i.target for i in found] == [i.target and i.target.strip() for i in expected]


@pytest.mark.parametrize("to", FORMATS)
def test_the_calibrated_answer_is_the_other_score(run, to, tmp_path) -> None:
    rows_ = [json.loads(line) for line in (run / "items.jsonl").read_text().splitlines()]
    expected = [row["correct"] for row in rows_ if row["arm"] == "saetask"]
    assert [i.correct for i in read_back(run, to, "saetask", "calibrated", tmp_path)] == expected


def test_inspect_reads_its_log_with_accuracies_and_findings(run, tmp_path) -> None:
    log_module = pytest.importorskip("inspect_ai.log")
    out = write_evaluation(run, "saetask", "inspect", tmp_path / "log.json")
    log = log_module.read_eval_log(str(out))
    assert (log.status, log.eval.task, log.eval.model) == ("success", "metaphor", "tiny")
    assert {score.name for score in log.results.scores} == {"raw", "calibrated"}
    sample = log.samples[0]
    assert sample.metadata["group"] == "chew"
    assert sample.metadata["misunderstandings"][0]["reading"] == "figurative"
    assert sample.output.completion == sample.scores["raw"].answer


def test_rows_of_older_runs_have_the_calibrated_score_alone(tmp_path) -> None:
    run = write_run(tmp_path / "run", summary(), rows())
    out = write_evaluation(run, "saetask", "lm-eval", tmp_path / "samples_a.jsonl")
    (row,) = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    assert row["metrics"] == ["acc_calibrated"] and row["acc_calibrated"] == 1.0
    (item,) = read(out)
    assert item.correct == 1.0


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--to", "lm-eval"], "name it with --out"),
        (["--to", "lm-eval", "--out", "{folder}/a.json"], "end in .jsonl"),
        (["--to", "lm-eval", "--out", "{folder}/a.jsonl", "--arm", "none"], "original, saetask"),
        (["--to", "lm-eval", "--out", "{folder}/taken.jsonl"], "exists"),
        (["--out", "{folder}/a.html"], "--to"),
        (["--to", "lmeval"], "Did you mean 'lm-eval'"),
    ],
)
def test_bad_flags_are_refused_in_a_line_and_nothing_is_written(
    run, flags, expected, tmp_path, capsys
) -> None:
    (tmp_path / "taken.jsonl").write_text("mine")
    command = ["report", str(run), *(flag.format(folder=tmp_path) for flag in flags)]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert [path.name for path in tmp_path.iterdir()] == ["taken.jsonl"]


def test_without_inspect_a_line_says_what_to_install(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    told = refusal(write_evaluation, run, "saetask", "inspect", tmp_path / "a.eval")
    assert 'pip install "saetask[evals]"' in told and not [*tmp_path.iterdir()]


def test_the_command_prints_the_file(run, tmp_path, capsys) -> None:
    out = tmp_path / "samples_a.jsonl"
    command = ["report", str(run), "--to", "lm-eval", "--out", str(out), "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(out)}
