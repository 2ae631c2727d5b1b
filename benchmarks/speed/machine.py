"""Describes the machine that the benchmarks ran on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import saetask

FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16")
"""What decides how fast matrices are multiplied."""
PACKAGES = ("torch", "transformers", "transformer_lens", "sae_lens")


def hardware() -> dict[str, Any]:
    """Returns the processor, its cores at hand, the threads of torch, and what it can multiply."""
    import torch

    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8") if path.is_file() else ""
    told = cpu_fields(lines)
    flags = told.get("flags", "").split()
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "cpu": told.get("model name") or platform.processor() or platform.machine(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "system": f"{platform.system()} {platform.machine()}",
    }


def cpu_fields(text: str) -> dict[str, str]:
    """Returns what `/proc/cpuinfo` says of the first core, by field."""
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def versions() -> dict[str, str]:
    """Returns the versions of Python, saetask and what it stands on."""
    found = {"python": platform.python_version(), "saetask": saetask.__version__}
    return found | {name: version(name) for name in PACKAGES}
