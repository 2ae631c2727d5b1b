"""Completion in shells, asked of bash itself."""

import contextlib
import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from saetask.cli.completion import command_words
from saetask.cli.main import ROOT, main

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


@pytest.fixture(scope="module")
def script(tmp_path_factory) -> Path:
    """The script for bash."""
    with contextlib.redirect_stdout(out := io.StringIO()):
        assert main(["--print-completion", "bash"]) == 0
    path = tmp_path_factory.mktemp("completion") / "saetask.bash"
    path.write_text(out.getvalue(), encoding="utf-8")
    return path


@needs_bash
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("di", "discover dictionary"),
        ("dictionary va", "validate"),
        ("run metaphor --scor", "--scoring"),
        ("run metaphor --scoring ", "rank generate"),
        ("run metaphor --data items", "items.jsonl"),
        ("report ru", "run-1"),
        ("init re", "recipe"),
    ],
)
def test_bash_completes_commands_flags_values_and_files(script, tmp_path, line, expected) -> None:
    (tmp_path / "items.jsonl").touch()
    (tmp_path / "run-1").mkdir()
    asked = (
        '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_saetask; '
        'echo "${COMPREPLY[*]}"'
    )
    words = ["saetask", *line.split(" ")]
    done = subprocess.run(
        ["bash", "-c", asked, "bash", str(script), *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == expected.split()


def test_every_command_is_completed(script) -> None:
    text = script.read_text(encoding="utf-8")
    assert all(word in text for word in command_words(ROOT))


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_have_a_script(shell, capsys) -> None:
    assert main(["--print-completion", shell]) == 0
    assert "saetask" in capsys.readouterr().out


def test_without_shtab_a_line_says_what_to_install(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 2
    assert 'pip install "saetask[completion]"' in capsys.readouterr().err
