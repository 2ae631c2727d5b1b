"""Times the README's commands in an empty folder, with an empty home: what a newcomer waits for.

    python -m benchmarks first_use [--tests]

A clone of what is committed is made in a temporary folder. Prints one JSON document: `install_s`,
the seconds until saetask is installed; `run_s`, from there to the end of the run, downloads
included; `test_s`, those of the tests without their installation, null without `--tests`.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.command_line import command_parser
from saetask import UserError

ROOT = Path(__file__).parents[1]
OWN = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME")
"""Variables that would give the new environment something of this one."""
AND = " && "
STDERR = 2


def readme_command(readme: str, last: str) -> list[str]:
    """Returns the steps of the README's first command whose last step begins with a word.

    Raises:
        UserError: There is none.
    """
    for block in re.findall(r"```bash\n(.*?)\n```", readme, re.DOTALL):
        steps = block.split(AND)
        if len(steps) > 1 and "\n" not in block and steps[-1].startswith(last):
            return steps
    raise UserError(f"The README has no command of several steps that ends with '{last}'.")


def measure(root: Path, with_tests: bool) -> dict[str, float | None]:
    """Follows the README of a repository and returns the seconds that each part took.

    Args:
        root: A git repository.
        with_tests: Run the tests, too.

    Raises:
        UserError: The README has no such command, or a command failed.
    """
    readme = (root / "README.md").read_text(encoding="utf-8")
    *install, run = readme_command(readme, "saetask run")
    with TemporaryDirectory() as folder:
        clone, home = Path(folder, "clone"), Path(folder, "home")
        home.mkdir()
        _seconds(["git", "clone", "--quiet", str(root), str(clone)], Path(folder), home)
        enter = [step for step in install if step.startswith(". ")]
        install_s = _seconds(_shell(install), clone, home)
        run_s = _seconds(_shell([*enter, run]), clone, home)
        test_s = None
        if with_tests:
            *prepare, tests = readme_command(readme, "pytest")
            _seconds(_shell(prepare), clone, home)
            test_s = _seconds(_shell([*enter, tests]), clone, home)
    return {"install_s": install_s, "run_s": run_s, "test_s": test_s}


def _shell(steps: Sequence[str]) -> list[str]:
    return ["bash", "-c", AND.join(steps)]


def _seconds(command: Sequence[str], folder: Path, home: Path) -> float:
    """Runs a command with another home and returns the seconds that it took."""
    environment = {name: value for name, value in os.environ.items() if name not in OWN}
    started = time.monotonic()
    environment["HOME"] = str(home)
    done = subprocess.run(command, check=False, cwd=folder, env=environment, stdout=STDERR)
    if done.returncode:
        raise UserError(f"`{command[-1]}` ended with exit code {done.returncode}.")
    return round(time.monotonic() - started, 1)


def main(given: Sequence[str]) -> int:
    """Runs the command line and returns its exit code."""
    parser = command_parser("python -m benchmarks first_use", __doc__)
    parser.add_argument("--tests", action="store_true", help="run the tests, too (many minutes)")
    arguments = parser.parse_args(given)
    try:
        print(json.dumps(measure(ROOT, arguments.tests), indent=2))
    except UserError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0
