"""The version of a plugin's code: the package's for built-in ones, else a hash of the source."""

import functools
import hashlib
import inspect
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

BUILT_IN = ("saetask", "saetask_plugins")
"""Top-level packages of the distribution `saetask`."""


def code_version(plugin: Any) -> str:
    """Returns a text that differs where the code of a plugin may differ.

    Args:
        plugin: An object, a class or a function.

    Returns:
        The version of saetask for what it ships; of anything else its name with a hash of its
        module's source, in a package with that of the modules beside it.
    """
    if isinstance(plugin, functools.partial):
        return code_version(plugin.func)
    kind = plugin if inspect.isclass(plugin) or inspect.isroutine(plugin) else type(plugin)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if is_built_in(plugin):
        return f"saetask {version('saetask')}"
    digest = hashlib.sha256()
    for path in _sources(kind):
        digest.update(path.name.encode() + path.read_bytes())
    return f"{name} {digest.hexdigest()[:16]}"


def is_built_in(plugin: Any) -> bool:
    """Returns whether saetask ships the code of a plugin."""
    kind = plugin if inspect.isclass(plugin) or inspect.isroutine(plugin) else type(plugin)
    return str(kind.__module__).partition(".")[0] in BUILT_IN


def _sources(kind: Any) -> list[Path]:
    """Returns the source files of a class or function; none where it was defined interactively."""
    try:
        path = Path(inspect.getfile(kind))
    except (TypeError, OSError):
        return []
    if not path.is_file():
        return []
    module = sys.modules.get(kind.__module__)
    in_package = module is not None and bool(module.__package__)
    return sorted(path.parent.glob("*.py")) if in_package else [path]
