"""Tells names on a hub from paths: what exists is a file, and what looks like a path is one."""

import re
from pathlib import Path

HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
"""An id on the Hugging Face hub: a name, with its owner's before it or without."""
FILE_ENDINGS = re.compile(
    r"\.(jsonl?|ndjson|csv|tsv|txt|text|md|parquet|arrow|feather|gz|zip|zst|bz2|xz|tar|ya?ml|toml"
    r"|xlsx?|eval|safetensors|gguf|bin|pt|pth|ckpt|npz|npy)",
    re.IGNORECASE,
)
"""Ends of the names of data and weight files, which no hub name has."""


def local_path(name: str | Path, base: Path = Path()) -> Path:
    """Returns a name as a path: `~` is the home folder, a relative path begins in `base`."""
    return base / Path(name).expanduser()


def is_path(name: str | Path, base: Path = Path()) -> bool:
    """Returns whether a name is that of a file or folder, there or not, and not one on a hub."""
    text = str(name)
    if isinstance(name, Path) or local_path(text, base).exists():
        return True
    return HUB_NAME.fullmatch(text) is None or names_a_file(text)


def names_a_file(text: str) -> bool:
    """Returns whether a text ends as the name of a file or folder does."""
    return text.endswith(("/", "\\")) or bool(FILE_ENDINGS.fullmatch(Path(text).suffix))
