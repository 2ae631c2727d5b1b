"""The JSON schemas in `docs/schemas`, and the classes that they are made from."""

import json
from pathlib import Path

import pytest

from benchmarks.pages import ROOT
from benchmarks.schemas import DOCUMENTS, documents, main
from saetask.report.summary import read_summary


def test_schemas_of_this_repository_are_as_generated(capsys: pytest.CaptureFixture) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_check_tells_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([], tmp_path) == 0 and main(["--check"], tmp_path) == 0
    for name in ("items", "another"):
        (tmp_path / "docs" / "schemas" / f"{name}.json").write_text("{}")
    assert main(["--check"], tmp_path) == 1
    told = capsys.readouterr().out
    assert "docs/schemas/another.json and docs/schemas/items.json." in told


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.stem)
def test_every_field_is_described(path: Path) -> None:
    schema = json.loads(documents()[path])
    for name, part in schema["$defs"].items():
        assert part["description"], name
        for field, entry in part.get("properties", {}).items():
            # A reference without a description has that of the class, which is in `$defs`.
            assert entry.get("description") or "$ref" in entry, f"{name}.{field}"
    assert len(documents()) == len(DOCUMENTS)


RUNS = sorted((ROOT / "docs" / "runs").glob("*.json"))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_summaries_of_this_repository_are_read_and_written_unchanged(path: Path) -> None:
    written = json.dumps(read_summary(path).to_json(), indent=2, ensure_ascii=False)
    assert written + "\n" == path.read_text(encoding="utf-8")
