"""Runs command lines, in float32 and on one thread, whatever the processor can do.

A line of standard input is a command's arguments, a JSON list; a line of standard output is its
exit code and what it printed. One process runs them all: importing takes longest by far.
"""

import contextlib
import importlib.util
import io
import json
import runpy
import sys
import traceback
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]


def check_origin(package: str) -> None:
    """Refuses a package that is installed from somewhere else than this checkout."""
    found = importlib.util.find_spec(package)
    if found and found.origin and not Path(found.origin).resolve().is_relative_to(ROOT):
        sys.exit(f"{package} comes from {found.origin}; install this checkout: pip install -e .")


def run(arguments: list[str]) -> tuple[int, str]:
    """Runs `python -m saetask` with arguments; returns its exit code and what it printed."""
    sys.argv = ["saetask", *arguments]
    code = 0
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            runpy.run_module("saetask", run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except Exception:
            traceback.print_exc()
            code = 1
    return code, printed.getvalue()


def main() -> None:
    """Answers lines until there are no more."""
    for name in ("saetask", "saetask_plugins"):
        check_origin(name)
    torch.set_num_threads(1)
    torch.cpu._is_avx512_bf16_supported = lambda: False
    torch.cpu._is_amx_tile_supported = lambda: False
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
