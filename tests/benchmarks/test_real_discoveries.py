"""The page's table of real discoveries tells what the folders of discoveries hold."""

import json

import pytest

from benchmarks.real_discoveries import main

FIELDS = {
    **{"n_with": 5, "failure_with": 0.9, "failure_without": 0.5, "difference": 0.4},
    **{"ci95": [0.1, 0.6], "words": [], "merged": []},
}


def discovery(name: str, q: float, needs_sae: bool | None = None) -> dict:
    return {"name": name, "q": q, "confirmed": q <= 0.05, "needs_sae": needs_sae, **FIELDS}


@pytest.fixture
def folder(tmp_path):
    counts = {"n_confirmed": 1, "n_tested": 4, "confirmed": []}
    controls = {name: counts for name in ("words", "word-classes", "random-sae")}
    summary = {
        **{"model": "tiny", "n_items": 80, "failure_rate": 0.5, "power": [{"share": 0.5}]},
        "controls": {**controls, "permuted": {"mean_confirmed": 0.1, "n_permutations": 20}},
    }
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    return tmp_path


def table(folder, *found: dict) -> dict:
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "discoveries": found}))
    out = folder / "table.json"
    assert main([f"my log={folder}", "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text())
    return row


def test_confirmed_ones_are_told_those_of_the_smallest_q_first(folder):
    row = table(
        folder, discovery("b", 0.04, False), discovery("c", 0.3), discovery("a", 0.01, True)
    )
    assert (row["log"], row["n_tested"], row["n_confirmed"]) == ("my log", 3, 2)
    assert row["n_beyond_words"] == 1
    assert [each["name"] for each in row["confirmed"]] == ["a", "b"] and row["nearest"] is None
    assert row["controls"]["words"] == {"n_confirmed": 1, "n_tested": 4}


def test_where_none_is_confirmed_the_nearest_is_told_and_none_of_none(folder):
    assert table(folder, discovery("c", 0.3), discovery("d", 0.2))["nearest"]["name"] == "d"
    assert table(folder)["nearest"] is None


def test_a_folder_needs_a_name(folder, capsys):
    assert main([str(folder)]) == 2
    assert "NAME=DISCOVERY" in capsys.readouterr().err
