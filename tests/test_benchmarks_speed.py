"""The benchmarks of speed: their arithmetic, the document they print, and the page made of it."""

import json

import pytest

import saetask.session
from benchmarks import __main__ as command
from benchmarks.speed import growth
from benchmarks.speed.subject import Subject


@pytest.fixture
def subject(tiny_model, make_tiny_hf_model, make_tiny_sae) -> Subject:
    return Subject(tiny_model, make_tiny_hf_model(), make_tiny_sae(prepend_bos=True))


@pytest.fixture
def small_fit(few_choices, monkeypatch, tmp_path):
    monkeypatch.setattr(saetask.session, "FIT_ITEMS", 36)
    monkeypatch.setattr(saetask.fitting, "STYLE_ITEMS", 4)
    monkeypatch.setenv("SAETASK_CACHE", str(tmp_path / "cache"))


def test_all_benchmarks_make_one_document(subject, small_fit, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(growth, "peaks_in_a_process", lambda what, sizes: [100.0, 101.0])
    out = tmp_path / "speed.json"
    given = ["--all", "--quick", "--rounds", "1", "--out", str(out)]
    import time
    real = command.importlib.import_module
    assert command.main(given, lambda: subject) == 0
    document = json.loads(capsys.readouterr().out)
    print(json.dumps(document, indent=1))
