"""Plugins: found through pluggy when first asked for, unique by name.

A plugin is any object with the hooks below: a module behind an entry point of the group
`saetask`, or a file passed with `--plugin`. A hook returns plugin objects of one kind.
"""

import importlib.metadata
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from saetask.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from saetask.annotation.base import Annotator, WritingAnnotator
    from saetask.data.tasks import Task
    from saetask.detection.base import Detector
    from saetask.dictionary.label.base import Labeler

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
    def saetask_annotators(self) -> "list[Annotator | WritingAnnotator]":  # pyright: ignore[reportReturnType]
        """Returns annotator plugins."""

    @hookspec
    def saetask_labelers(self) -> "list[Labeler]":  # pyright: ignore[reportReturnType]
        """Returns labeler plugins."""


class Plugin(NamedTuple):
    """One registered plugin."""

    kind: str
    name: str
    source: str
    summary: str
    value: Any


KINDS = ("task", "detector", "annotator", "labeler")


class PluginRegistry:
    """The plugins of the installed packages and of the files the user passed."""

    def __init__(self, files: list[Path] | None = None) -> None:
        manager = pluggy.PluginManager("saetask")
        manager.add_hookspecs(Hooks)
        for entry in importlib.metadata.entry_points(group="saetask"):
            module = _loaded(f"Installed plugin '{entry.name}' ({entry.value})", entry.load)
            _register(manager, module, entry.name)
        for path in files or []:
            _register(manager, _module_from_file(path), str(path))
        self._plugins: dict[str, dict[str, Plugin]] = {kind: {} for kind in KINDS}
        for kind in KINDS:
            hook = getattr(manager.hook, f"saetask_{kind}s")
            for implementation in hook.get_hookimpls():
                source = implementation.plugin_name
                made = _loaded(f"Plugin '{source}'", lambda i=implementation: [*i.function()])
                for value in made:
                    self._add(kind, source, value)

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
    loader = spec.loader
    _loaded(f"Plugin file {path}", lambda: loader.exec_module(module))
    return module


def _register(manager: pluggy.PluginManager, module: Any, name: str) -> None:
    if manager.has_plugin(name):
        raise UserError(f"Plugin '{name}' is given twice.")
    manager.register(module, name=name)


def _loaded(what: str, load: Callable[[], Any]) -> Any:
    """Returns what `load` makes; whatever a plugin raises is told in one line."""
    try:
        return load()
    except Exception as error:
        raise UserError(f"{what} failed to load: {error!r}") from error
