"""Starting: `import saetask` and `saetask --help`, beside `import torch`, each in a new process."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from .subject import Setting
from .timing import Way, interleaved, rounded

COMMANDS = {
    "torch": ["-c", "import torch"],
    "saetask": ["-c", "import saetask"],
    "help": ["-m", "saetask", "--help"],
}
ROOT = Path(__file__).parents[2]


def measure(setting: Setting) -> dict[str, Any]:
    """Times starting and returns this benchmark's part of the document."""
    ways = {name: _process(command) for name, command in COMMANDS.items()}
    timings = interleaved(ways, setting.rounds, "process")
    return {
        "seconds": rounded(timings.median("saetask")),
        "help_seconds": rounded(timings.median("help")),
        "torch_seconds": rounded(timings.median("torch")),
        "ratio_to_torch": rounded(timings.times_as_fast("saetask", "torch")),
        "help_ratio_to_torch": rounded(timings.times_as_fast("help", "torch")),
        "asked": [],
        "timings": timings.document(),
    }


def _process(arguments: list[str]) -> Way:
    def way(_: int) -> int:
        command = [sys.executable, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        return 1

    return way
