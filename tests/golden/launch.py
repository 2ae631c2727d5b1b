"""Runs the command line in float32 and on one thread, whatever the processor can do."""

import importlib.util
import runpy
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]


def check_origin(package: str) -> None:
    """Refuses a package that is installed from somewhere else than this checkout."""
    found = importlib.util.find_spec(package)
    if found is not None and found.origin and not Path(found.origin).resolve().is_relative_to(ROOT):
        sys.exit(f"{package} comes from {found.origin}; install this checkout: pip install -e .")


if __name__ == "__main__":
    for name in ("saetask", "saetask_plugins"):
        check_origin(name)
    torch.set_num_threads(1)
    torch.cpu._is_avx512_bf16_supported = lambda: False
    torch.cpu._is_amx_tile_supported = lambda: False
    runpy.run_module("saetask", run_name="__main__", alter_sys=True)
