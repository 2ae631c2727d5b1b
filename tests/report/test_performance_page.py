"""The page on speed: made of the benchmarks' document alone, and told when it no longer fits."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import performance
from benchmarks.speed.timing import Asked, Timings, entry

TIMES = {"limit": [0.5, 1.5], "today": [3.0, 5.0], "saetask": [1.0, 3.0]}
CURVE = [{"step": 0, "loss": 33.54}, {"step": 4, "loss": 31.02}]


def measured(unit: str, asked: Asked, **more: Any) -> dict[str, Any]:
    return entry(Timings(unit, TIMES), [asked], **more)


@pytest.fixture
def document() -> dict[str, Any]:
    """What was measured, made up."""
    once = {"unit": "token", "seconds": {"once": {"median": 0.01}, "16 times": {"median": 0.02}}}
    steps = {"tokenise": 0.5, "forward": 1.5}
    slope = Asked("slope of time over tokens", 1.2, 0.9, 1.1)
    return {
        "schema_version": 1,
        "hardware": {"cpu": "A | B", "cores": 2, "threads": 2, "flags": ["avx2"], "system": "X"},
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "rounds": 2,
        "dtype": "float32",
        "read": measured(
            "token",
            Asked("speed over the limit's", 0.8734, lowest=0.85),
            work={"prompts": 7, "tokens": 400},
            profile=steps,
        ),
        "train": measured(
            "step",
            Asked("speed over SAE-Lens's", 3.9, lowest=1.3),
            work={"batch": 2048},
            loss_curves={"today": CURVE, "saetask": CURVE},
        ),
        "growth": {
            "asked": [slope.document()],
            "peak_mib": {"tokens": [700.0, 705.0]},
            "sizes": {"tokens": [496, 7440]},
            "timings": {"tokens": once},
        },
    }


@pytest.fixture
def root(tmp_path: Path, document) -> Path:
    """A project in which something was measured."""
    (tmp_path / "docs").mkdir()
    (tmp_path / performance.MEASURED).write_text(json.dumps(document))
    return tmp_path


def table_rows(root: Path, first: str) -> list[list[str]]:
    """Returns the cells of the rows that begin with a cell, of all tables of the page."""
    lines = (root / performance.PAGE).read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if len(row) > 1 and row[0] == first]


def test_the_page_of_this_repository_is_as_generated(capsys) -> None:
    assert performance.main(["--check"]) == 0, capsys.readouterr().out


def test_every_figure_reaches_the_page(root: Path) -> None:
    assert performance.main([], root) == 0 and performance.main(["--check"], root) == 0
    asked, *ways = table_rows(root, "read")
    assert asked == ["read", "speed over the limit's", "0.873", "at least 0.85", "yes"]
    assert ways == [
        ["read", "limit", "1.00 s a token", "500 ms to 1.50 s", "0.500"],
        ["read", "today", "4.00 s a token", "3.00 s to 5.00 s", "2.00"],
        ["read", "saetask", "2.00 s a token", "1.00 s to 3.00 s", ""],
    ]
    assert table_rows(root, "tokenise") == [["tokenise", "500 ms", "25.0 %"]]
    assert table_rows(root, "4") == [["4", "31.02", "31.02"]]
    (slope,) = table_rows(root, "growth")
    assert slope[2:] == ["1.20", "0.9 to 1.1", "**no**"]
    assert table_rows(root, "tokens") == [
        ["tokens", "496", "10.0 ms"],
        ["tokens", "7,440", "20.0 ms"],
    ]
    page = (root / performance.PAGE).read_text()
    assert "A &#124; B" in page and "float32" in page and "700 MiB, and 705 MiB" in page


def test_a_page_on_one_benchmark_has_no_empty_sections(root: Path, document) -> None:
    few = {name: value for name, value in document.items() if name not in ("read", "growth")}
    few["rank"] = few.pop("train")
    (root / performance.MEASURED).write_text(json.dumps(few))
    assert performance.main([], root) == 0
    lines = (root / performance.PAGE).read_text().splitlines()
    assert [line for line in lines if line.startswith("#")] == ["# Speed", "## Every way"]


def test_check_tells_a_page_that_was_changed_or_lost(root: Path, capsys) -> None:
    performance.main([], root)
    page = root / performance.PAGE
    page.write_text(page.read_text() + "by hand\n")
    assert performance.main(["--check"], root) == 1
    assert capsys.readouterr().out.startswith("Not as generated: docs/performance.md.")
    page.unlink()
    assert performance.main(["--check"], root) == 1


def test_a_page_without_measurements_is_not_as_generated(root: Path) -> None:
    performance.main([], root)
    (root / performance.MEASURED).unlink()
    assert performance.main(["--check"], root) == 1
    (root / performance.PAGE).unlink()
    assert performance.main(["--check"], root) == 0


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"hardware": {}, "versions": {}}'])
def test_what_is_no_document_is_refused_in_one_line(root: Path, text: str, capsys) -> None:
    (root / performance.MEASURED).write_text(text)
    assert performance.main([], root) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "speed.json" in line and "python -m benchmarks --all" in line


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.8734, "0.873"), (1, "1.00"), (670, "670"), (999.6, "1,000"), (1530, "1,530")],
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert performance.figure(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.6, "2.60 s"), (0.0123, "12.3 ms"), (4.4e-05, "44.0 µs")]
)
def test_durations_have_a_unit_that_fits(seconds: float, text: str) -> None:
    assert performance.duration(seconds) == text
