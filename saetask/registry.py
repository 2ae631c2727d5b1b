"""Plugins: found through pluggy when first asked for, unique by name.

A plugin is any object with the hooks below: a module behind an entry point of the group
`saetask`, or a file passed with `--plugin`. A hook returns plugin objects of one kind.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from saetask.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from saetask.detection import Detector
    from saetask.reformulation import Annotator
    from saetask.tasks import Task

hookspec = pluggy.HookspecMarker("saetask")
hookimpl = pluggy.HookimplMarker("saetask")
"""Marks a function of a plugin module as one of the hooks of `Hooks`."""


class Hooks:
    """What a plugin module may provide; each hook returns a list."""

    @hookspec
    def saetask_tasks(self) -> "list[Task]":  # pyright: ignore[reportReturnType]
        """Returns task plugins."""

    @hookspec
    def saetask_detectors(self) -> "list[Callable[[], Detector]]":  # pyright: ignore[reportReturnType]
        """Returns detector classes (an instance is made for every fit), with a `name` each."""

    @hookspec
    def saetask_annotators(self) -> "list[Annotator]":  # pyright: ignore[reportReturnType]
        """Returns annotator plugins."""


class Plugin(NamedTuple):
    """One registered plugin."""

    kind: str
    name: str
    source: str
    summary: str
    value: Any


KINDS = ("task", "detector", "annotator")


class Registry:
    """The plugins of the installed packages and of the files the user passed."""

    def __init__(self, files: list[Path] | None = None) -> None:
        manager = pluggy.PluginManager("saetask")
        manager.add_hookspecs(Hooks)
        manager.load_setuptools_entrypoints("saetask")
        for path in files or []:
            manager.register(_module_from_file(path), name=str(path))
        self._plugins: dict[str, dict[str, Plugin]] = {kind: {} for kind in KINDS}
        for kind in KINDS:
            hook = getattr(manager.hook, f"saetask_{kind}s")
            for implementation in hook.get_hookimpls():
                for value in implementation.function():
                    self._add(kind, implementation.plugin_name, value)

    def _add(self, kind: str, source: str, value: Any) -> None:
        known = self._plugins[kind]
        name = getattr(value, "name", None)
        if not isinstance(name, str):
            raise UserError(f"A {kind} of plugin '{source}' has no name: {value!r}.")
        if name in known:
            raise UserError(
                f"Duplicate name: {kind} '{name}' comes from '{known[name].source}' and from "
                f"'{source}'; rename one of them or uninstall it."
            )
        owner = value if isinstance(value, type) else type(value)
        summary = (owner.__doc__ or "").strip().split("\n")[0]
        known[name] = Plugin(kind, name, source, summary, value)

    def all(self) -> list[Plugin]:
        """Returns every plugin, by kind and name."""
        return [p for kind in KINDS for _, p in sorted(self._plugins[kind].items())]

    def get(self, kind: str, name: str) -> Any:
        """Returns a plugin by kind and name.

        Raises:
            UserError: There is none; a similar name is suggested.
        """
        if name not in self._plugins[kind]:
            hint = did_you_mean(name, self._plugins[kind])
            raise UserError(f"Unknown {kind} '{name}'.{hint}")
        return self._plugins[kind][name].value


def _module_from_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise UserError(f"Plugin file {path} does not exist or is no .py file.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"Plugin file {path} failed to load: {error!r}") from error
    return module
