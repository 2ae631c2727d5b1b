"""The README's commands, timed in an empty folder; here of a README whose commands are harmless."""

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks import first_use
from benchmarks.__main__ import main
from saetask import UserError

README = """
```bash
python other.py && saetask run metaphor
```

```bash
one line && saetask run
another
```
"""


def make_repository(folder: Path, run: str, tests: str = "exit 3") -> Path:
    """Returns a repository whose environment makes functions of `saetask` and `pytest`."""
    functions = f"saetask() {{ {run}; }}; pytest() {{ {tests}; }}"
    steps = f"echo '{functions}' > env && . ./env"
    readme = f"```bash\n{steps} && saetask run metaphor\n```\n\n```bash\n{steps} && pytest\n```\n"
    folder.mkdir()
    (folder / "README.md").write_text(readme)
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def test_the_command_is_the_first_of_several_steps_that_ends_so() -> None:
    assert first_use.readme_command(README, "saetask run") == [
        "python other.py",
        "saetask run metaphor",
    ]
    with pytest.raises(UserError, match="ends with 'pytest'"):
        first_use.readme_command(README, "pytest")


def test_the_project_readme_has_both_commands() -> None:
    readme = (first_use.ROOT / "README.md").read_text()
    for last in ("saetask run", "pytest"):
        assert any("pip install" in step for step in first_use.readme_command(readme, last))


def test_commands_run_in_a_clone_with_an_empty_home(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    monkeypatch.setenv("HF_HOME", "somewhere")
    seen = tmp_path / "seen"
    repository = make_repository(
        tmp_path / "repository",
        f"sleep 0.3; (pwd; ls -A $HOME; echo $1 $PYTHONPATH$HF_HOME) > {seen}",
    )
    found = first_use.measure(repository, with_tests=False)
    where, words = seen.read_text().splitlines()
    assert where != str(repository)
    assert words == "run"
    assert found["test_s"] is None
    assert (found["run_s"] or 0) >= 0.3


def test_tests_are_timed_if_asked_for_and_a_failure_is_told(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(first_use, "ROOT", make_repository(tmp_path / "good", "true", "true"))
    assert main(["first_use", "--tests"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == {"install_s", "run_s", "test_s"}
    monkeypatch.setattr(first_use, "ROOT", make_repository(tmp_path / "bad", "true"))
    assert main(["first_use", "--tests"]) == 1
    assert "pytest` ended with exit code 3" in capsys.readouterr().err
