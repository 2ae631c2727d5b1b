"""What keeps the explorer from starting is one line, said before anything is loaded."""

import socket
import sys

import pytest

from saetask.cli.main import main
from saetask.cli.parser import CommandParser
from saetask.cli.struck_concepts import VerdictOptions, with_struck
from saetask.dictionary.dictionary import dictionary_folder
from saetask.dictionary.reader_verdicts import ReaderVerdict, append_verdict, now, verdicts_path
from saetask.saes.loading import DEFAULT_SAE
from tests.helpers.refusals import refusal

pytest.importorskip("fastapi")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SAETASK_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def unloaded(monkeypatch):
    """Fails the test if a model is loaded."""

    def refuse(*arguments, **options):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("saetask.explore.prompt_reader.PromptReader.__init__", refuse)


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--host", "0.0.0.0"], "--token"),
        (["--token", "short"], "16 characters"),
        (["--run", "nowhere"], "nowhere"),
        (["--discovery", "nowhere"], "saetask discover"),
        (["--dictionary", "nowhere"], "nowhere"),
        (["--tasks", "metapher"], "metaphor"),
        (["--tasks", ""], "task"),
        (["--host", "203.0.113.7", "--token", "x" * 16, "--port", "0"], "203.0.113.7"),
        (["--port", "99999"], "99999"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(flags, word, unloaded, capsys) -> None:
    assert main(["explore", *flags]) == 2
    said = capsys.readouterr()
    assert word in said.err and said.err.count("\n") == 1 and said.out == ""


def test_a_port_that_is_taken_is_said(unloaded, capsys) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["explore", "--port", port]) == 2
    assert f"port {port}" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["fastapi", "uvicorn"])
def test_a_missing_extra_is_named(package, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith("saetask.explore.app")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["explore", "--port", "0"]) == 2
    assert 'pip install "saetask[explore]"' in capsys.readouterr().err


def arguments(*words):
    parser = CommandParser(prog="saetask")
    parser.add_fields(VerdictOptions)
    return parser.parse_args(words)


def test_struck_concepts_are_not_seen_by_fits_and_that_is_said(capsys) -> None:
    path = verdicts_path(dictionary_folder(DEFAULT_SAE))
    assert with_struck(arguments(), ["on:adj.all"], None, DEFAULT_SAE) == ["on:adj.all"]
    for name in ("on:noun.food", "on:none.there"):
        verdict = ReaderVerdict(date=now(), kind="concept", id=name, name="", verdict="strike")
        append_verdict(path, verdict)
    found = with_struck(arguments(), ["on:adj.all"], None, DEFAULT_SAE)
    assert found == ["on:adj.all", "on:noun.food"]
    assert "on:noun.food" in capsys.readouterr().err
    assert with_struck(arguments("--ignore-verdicts"), [], None, DEFAULT_SAE) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["foood", "on:noun.foood"])
def test_a_concept_that_the_dictionary_lacks_is_refused_before_anything_is_loaded(name) -> None:
    message = refusal(with_struck, arguments(), ["food", name], None, DEFAULT_SAE)
    assert f"--without '{name}'" in message and "Did you mean" in message
    known = ["food", "on:noun.food", "feature:3"]
    assert with_struck(arguments(), known, None, DEFAULT_SAE) == known
    assert with_struck(arguments(), ["foood"], None, "another/sae") == ["foood"]


def test_ctrl_c_closes_the_explorer_with_a_line_of_its_own(monkeypatch, capsys):
    def serve(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("saetask.explore.server.serve", serve)
    assert main(["explore"]) == 130
    assert capsys.readouterr().err == "saetask: the explorer is closed.\n"
