"""The results page: made of summaries alone, and told when it no longer fits them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.pages import cell
from benchmarks.results import main, without_folders
from tests.helpers.run_folders import arm, compared, fold, further, rows, summary, write_run

README = "before\n<!-- results -->\nold table\n<!-- /results -->\nafter\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a README and no runs."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "README.md").write_text(README)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with every figure."""
    raw = {"accuracy": 0.5, "ci95": [0.4, 0.6]} | compared(0.02, 0.01, "difference_ci95")
    document = summary(placebo=arm(0.52, raw=raw), always=arm(0.76), oracle=arm(0.9)) | further()
    document["bias"] = {"raw_answers": {"a": 0.9, "b": 0.1}, "chance": 0.25, "majority": 0.3}
    return write_run(tmp_path / "moh-x", document, rows())


def page_of(root: Path) -> str:
    return (root / "docs" / "results.md").read_text()


def table_rows(page: str, first: str) -> list[list[str]]:
    """Returns the cells of the rows that begin with a cell, of all tables of a page."""
    lines = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("|")]
    return [[c.strip() for c in cells] for cells in lines if cells[0].strip() == first]


def test_results_of_this_repository_are_as_generated(capsys: pytest.CaptureFixture) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_without_runs_nothing_is_touched(root: Path) -> None:
    assert main([], root) == 0 and main(["--check"], root) == 0
    assert (root / "README.md").read_text() == README and not (root / "docs").exists()


def test_every_figure_reaches_the_page(root: Path, run: Path) -> None:
    assert main([str(run)], root) == 0
    page = page_of(root)
    bias, *arms, against, sae_credit, credit, probe, one, two = table_rows(page, "moh-x")
    assert bias[1:] == ["a 0.900, b 0.100", "–", "0.250", "0.300"]
    by_arm = {cells[1]: cells[2:] for cells in arms}
    assert list(by_arm) == ["original", "placebo", "always", "saetask", "oracle"]
    calibrated = ["0.741", "+0.221 (+0.181 to +0.261)", "131 / 33", "3e-15"]
    assert by_arm["saetask"] == ["–", "–", "–", *calibrated]
    assert by_arm["placebo"][:3] == ["0.500", "+0.020 (+0.010 to +0.030)", "2e-9"]
    assert against[1:] == [
        "placebo",
        "+0.200 (+0.100 to +0.300)",
        "90 / 11",
        "1e-9",
        "2e-9",
        "1e-9",
    ]
    assert sae_credit[1:] == ["random-sae", "3", "−0.010 (−0.030 to +0.010)", "0.600"]
    assert credit[1:] == ["self", "+0.100 (+0.060 to +0.140)"]
    compared_with_it = ["−0.050 (−0.090 to −0.010)", "1e-9"]
    assert probe[1:] == ["444", "0.743 (0.700 to 0.780)", "0.741", *compared_with_it]
    assert [cells[1] for cells in (one, two)] == ["original", "saetask"]
    assert table_rows(page, "**saetask**") == [
        ["**saetask**", "0.780 (0.740 to 0.820)"],
        ["**saetask**", "0.810 (0.770 to 0.850)"],
    ]
    assert table_rows(page, "bag-of-words") == [["bag-of-words", "0.600"]]
    assert table_rows(page, "saetask") == [["saetask", "0.755 (0.740 to 0.770)"]]


def test_readmes_table_has_raw_and_calibrated_shares(root: Path, run: Path) -> None:
    main([str(run)], root)
    readme = (root / "README.md").read_text()
    (cells,) = table_rows(readme, "moh-x")
    assert cells[1:4] == ["2", "0.250", "– / 0.520"]
    assert cells[-3:] == ["**– / 0.741**", "–", "– / 0.900"]
    assert readme.startswith("before\n<!-- results -->\n") and "old table" not in readme
    assert readme.endswith("\n<!-- /results -->\nafter\n")


def test_a_control_of_several_runs_is_corrected_over_them(
    root: Path, run: Path, tmp_path: Path
) -> None:
    other = write_run(tmp_path / "other", summary() | further(), rows())
    main([str(run), str(other)], root)
    compared_rows = [r for name in ("moh-x", "other") for r in table_rows(page_of(root), name)]
    assert [cells[-1] for cells in compared_rows if cells[1:2] == ["placebo"]][-2:] == ["2e-9"] * 2


def test_a_probe_of_fewer_items_stands_beside_saetask_over_the_same(
    root: Path, tmp_path: Path
) -> None:
    probe = {"accuracy": 0.6, "ci95": [0.5, 0.7], "n": 84, "saetask": 0.7}
    document = summary() | further(probe_alone=probe)
    main([str(write_run(tmp_path / "fig-qa", document, rows()))], root)
    assert ["fig-qa", "84", "0.600 (0.500 to 0.700)", "0.700", "–", "–"] in table_rows(
        page_of(root), "fig-qa"
    )
    assert "have no right reading" in page_of(root)


def test_older_summaries_leave_no_empty_tables(root: Path, tmp_path: Path) -> None:
    main([str(write_run(tmp_path / "old", summary(), rows()))], root)
    page = page_of(root)
    titles = [line for line in page.splitlines() if line.startswith("## ")]
    assert titles == ["## Arms", "## Detection of the model's own wrong answers", "## Runs"]


def test_transfer_runs_stand_apart(root: Path, run: Path, tmp_path: Path) -> None:
    document = summary() | {"fit_data": "/somewhere/vua.jsonl"}
    transfer = write_run(tmp_path / "b", document, rows())
    assert main([str(run), str(transfer), "--names", "own,moved"], root) == 0
    own, moved = page_of(root).split("## Transfer")
    assert table_rows(own, "own") and not table_rows(own, "moved")
    assert table_rows(moved, "moved")[0][:3] == ["moved", "vua.jsonl", "original"]
    assert "| moved |" not in (root / "README.md").read_text()


def test_the_page_says_what_was_fitted_on(root: Path, tmp_path: Path) -> None:
    lent = {"selection": {"folds": [fold(n_borrowed=7), fold(n_borrowed=9)]}}
    for name, changes in {"a": {}, "b": lent, "c": lent | {"fit_data": "/x/vua.jsonl"}}.items():
        main([str(write_run(tmp_path / name, summary() | changes, rows()))], root)
    runs = page_of(root).split("## Runs")[1]
    assert [table_rows(runs, f"[{name}](runs/{name}.json)")[0][2] for name in "abc"] == [
        "other folds",
        "other folds and up to 9 built-in items",
        "vua.jsonl and up to 9 built-in items",
    ]


def test_only_the_summary_is_copied_and_no_folder_names(root: Path, tmp_path: Path) -> None:
    document = summary() | {"fit_data": "/home/someone/vua.jsonl"}
    document["model"]["name"] = "/home/someone/models/tiny"
    main([str(write_run(tmp_path / "run", document, rows()))], root)
    assert [path.name for path in (root / "docs" / "runs").iterdir()] == ["run.json"]
    copied = json.loads((root / "docs" / "runs" / "run.json").read_text())
    assert copied["fit_data"] == "vua.jsonl" and copied["model"]["name"] == "tiny"
    assert copied["arms"] == document["arms"]


@pytest.mark.parametrize("name", ["README.md", "docs/results.md"])
def test_check_tells_which_file_differs(
    root: Path, run: Path, name: str, capsys: pytest.CaptureFixture
) -> None:
    main([str(run)], root)
    assert main(["--check"], root) == 0 and capsys.readouterr().out == ""
    path = root / name
    path.write_text(path.read_text().replace("0.741", "0.999"))
    changed = path.read_text()
    assert main(["--check"], root) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"Not as generated: {name}.") and path.read_text() == changed


def test_check_tells_of_a_summary_added_by_hand(root: Path, run: Path) -> None:
    (root / "docs" / "runs").mkdir(parents=True)
    (root / "docs" / "runs" / "new.json").write_text((run / "summary.json").read_text())
    assert main(["--check"], root) == 1


def test_readme_outside_the_markers_may_change(root: Path, run: Path) -> None:
    main([str(run)], root)
    with (root / "README.md").open("a") as file:
        file.write("More words.\n")
    assert main(["--check"], root) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["{run}", "--names", "a,b"], "2 different names for 1 run folders"),
        (["{run}", "{run}"], "1 different names for 2 run folders"),
        (["{run}", "--names", "../a"], "Name '../a'"),
        (["{run}/none"], "summary.json does not exist"),
        (["{run}", "{run}/none", "--names", "a,b"], "summary.json does not exist"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    root: Path, run: Path, arguments: list[str], expected: str, capsys: pytest.CaptureFixture
) -> None:
    assert main([argument.format(run=run) for argument in arguments], root) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line and not (root / "docs").exists()


@pytest.mark.parametrize(
    "readme", ["none", "<!-- results -->", "<!-- /results --><!-- results -->", README + README]
)
def test_readme_without_its_markers_is_refused(
    root: Path, run: Path, readme: str, capsys: pytest.CaptureFixture
) -> None:
    (root / "README.md").write_text(readme)
    assert main([str(run)], root) == 2
    assert "put them back" in capsys.readouterr().err
    assert (root / "README.md").read_text() == readme


@given(st.text())
def test_no_name_ends_a_cell_or_begins_a_tag(name: str) -> None:
    written = cell(name)
    assert not set("|<") & set(written) and len(written.splitlines()) <= 1


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(["/a/b", "c/d", "e"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("kl"), inner),
)


@given(json_values)
def test_values_lose_their_folders_and_nothing_else(value: object) -> None:
    found, before = without_folders(value), json.dumps(value)
    assert json.dumps(found) == before.replace('"/a/b"', '"b"')
