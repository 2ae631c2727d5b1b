"""Plugins: found through pluggy when first used, unique by name.

A plugin is any object with the hooks below: a module behind an entry point of the group
`saetask`, or a file passed with `--plugin`. A hook returns plugin objects of one kind.
"""

import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from saetask.errors import UserError, did_you_mean
from saetask.utils.plugin_options import check_options

if TYPE_CHECKING:
    from saetask.annotation.base import Annotator, WritingAnnotator
    from saetask.data.importers import Importer
    from saetask.data.tasks import Task
    from saetask.detection.base import Detector
    from saetask.dictionary.label.base import Labeler

hookspec = pluggy.HookspecMarker("saetask")
hookimpl = pluggy.HookimplMarker("saetask")
"""Marks a function of a plugin module as one of the hooks of `Hooks`."""


class Hooks:
    """Hooks of a plugin module; each returns a list."""

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

    @hookspec
    def saetask_importers(self) -> "list[Importer]":  # pyright: ignore[reportReturnType]
        """Returns importer plugins."""


class Plugin(NamedTuple):
    """One registered plugin."""

    kind: str
    name: str
    source: str
    summary: str
    value: Any


KINDS = ("task", "detector", "annotator", "labeler", "importer")
BUILT_IN = "builtin"
"""Entry point of the plugins that come with saetask."""


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
                returned = _loaded(f"Plugin '{source}'", implementation.function)
                if not isinstance(returned, list | tuple):
                    raise UserError(
                        f"Plugin '{source}': its hook saetask_{kind}s returned {returned!r}, "
                        "but must return a list."
                    )
                for value in returned:
                    self._add(kind, source, value)

    def _add(self, kind: str, source: str, value: Any) -> None:
        known = self._plugins[kind]
        name = getattr(value, "name", None)
        if not isinstance(name, str):
            raise UserError(
                f"A {kind} of plugin '{source}' has no name: {value!r}; give its class an "
                "attribute `name`."
            )
        if name in known:
            raise UserError(
                f"Duplicate name: {kind} '{name}' comes from '{known[name].source}' and from "
                f"'{source}'; rename one of them or uninstall it."
            )
        if problem := contract_problem(kind, value):
            raise UserError(f"Plugin '{source}', {kind} '{name}': {problem}.")
        owner = value if isinstance(value, type) else type(value)
        summary = (owner.__doc__ or "").strip().split("\n")[0]
        known[name] = Plugin(kind, name, source, summary, value)

    def all(self) -> list[Plugin]:
        """Returns every plugin, by kind and name."""
        return [p for kind in KINDS for _, p in sorted(self._plugins[kind].items())]

    def by_name(self, kind: str) -> dict[str, Any]:
        """Returns the plugins of a kind by name, the user's own before those of saetask."""
        plugins = sorted(self._plugins[kind].values(), key=lambda p: p.source == BUILT_IN)
        return {plugin.name: plugin.value for plugin in plugins}

    def get(self, kind: str, name: str) -> Any:
        """Returns a plugin by kind and name.

        Raises:
            UserError: There is none; a similar name is suggested.
        """
        if name not in self._plugins[kind]:
            hint = did_you_mean(name, self._plugins[kind])
            raise UserError(f"Unknown {kind} '{name}'.{hint}")
        return self._plugins[kind][name].value

    def resolve(self, kind: str, plugin: Any) -> Any:
        """Returns a plugin, given its name or the plugin itself, which is checked.

        Raises:
            UserError: There is none of that name, or the object breaks the contract of its kind.
        """
        if isinstance(plugin, str):
            return self.get(kind, plugin)
        if problem := contract_problem(kind, plugin):
            shown = " ".join(repr(plugin).split())
            raise UserError(
                f"{kind} must be a {kind} plugin or its name; of {shown:.80}: {problem}."
            )
        return plugin


def _module_from_file(path: Path) -> Any:
    # Its name holds the path: files of one name differ, and none hides an installed module.
    name = f"saetask_plugin_file:{path.absolute()}"
    spec = importlib.util.spec_from_file_location(name, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise UserError(f"Plugin file {path} does not exist or is no .py file.")
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader
    sys.modules[name] = module  # where `inspect` finds the docstrings of options
    _loaded(f"Plugin file {path}", lambda: loader.exec_module(module))
    return module


def _register(manager: pluggy.PluginManager, module: Any, name: str) -> None:
    if manager.has_plugin(name):
        raise UserError(f"Plugin '{name}' is given twice.")
    hooks = {hook for hook in vars(Hooks) if hook.startswith("saetask_")}
    if not hooks & set(dir(module)):
        raise UserError(_no_hook(name, module, hooks))
    for function, value in vars(module).items():
        if not inspect.isfunction(value):
            continue
        is_marked = hasattr(value, "saetask_impl")
        if function not in hooks and (is_marked or function.startswith("saetask_")):
            hint = did_you_mean(function, hooks)
            raise UserError(f"Plugin '{name}': {function} is no hook of saetask.{hint}")
        if function in hooks and not is_marked:
            raise UserError(f"Plugin '{name}': its hook {function} is not marked with @hookimpl.")
    _loaded(f"Plugin '{name}'", lambda: manager.register(module, name=name))


def _no_hook(name: str, module: Any, hooks: set[str]) -> str:
    """Returns the message on a plugin without any hook, with the function that may be meant."""
    for function in (f for f, value in vars(module).items() if inspect.isfunction(value)):
        hint = did_you_mean(function, hooks)
        if "Did you mean" in hint or function.startswith("saetask_"):
            return f"Plugin '{name}': {function} is no hook of saetask.{hint}"
    return f"Plugin '{name}' has no hook of saetask; define one of {', '.join(sorted(hooks))}."


def _loaded(what: str, load: Callable[[], Any]) -> Any:
    """Returns what `load` makes; what a plugin raises becomes an error of one line."""
    try:
        return load()
    except (Exception, SystemExit) as error:  # `sys.exit()` would end the command without a word
        raise UserError(f"{what} failed to load: {error!r}") from error


def contract_problem(kind: str, plugin: Any) -> str:
    """Returns how a plugin breaks the contract of its kind; "" where it keeps it.

    A method must be there and take the arguments that the protocol of its kind passes.
    """
    if kind != "detector" and isinstance(plugin, type):
        return "it is a class, not an instance of it"
    if kind == "detector" and not callable(plugin):
        return "the hook must return its class, not an instance"
    if kind == "detector" and not isinstance(plugin, type):
        return ""  # a function that makes detectors: there is nothing to look at yet
    return _method_problem(kind, plugin) or _attribute_problem(kind, plugin)


def _method_problem(kind: str, plugin: Any) -> str:
    for name, declared in _declared_methods(kind, plugin).items():
        own = getattr(plugin, name, None)
        wanted = f"{name}({', '.join([*inspect.signature(declared).parameters][1:])})"
        if not callable(own):
            return f"it has no method {wanted}"
        if not _takes(own, declared, unbound=isinstance(plugin, type)):
            return f"its method {name} does not take the arguments of {wanted}"
    return ""


def _attribute_problem(kind: str, plugin: Any) -> str:
    if kind == "task":
        for name in ("readings", "annotators"):
            names = getattr(plugin, name, None)
            if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
                return f"its attribute {name} must be a list or tuple of names, not {names!r}"
    if kind == "importer":
        return _fields_problem(plugin)
    if hasattr(plugin, "request") and kind == "annotator" and not hasattr(plugin, "endpoint"):
        return "it has no attribute endpoint (None has the model under test write)"
    return check_options(plugin)


def _fields_problem(importer: Any) -> str:
    from saetask.data.importers import LogFields

    names, known = getattr(importer, "fields", None), {f.name for f in fields(LogFields)}
    if not isinstance(names, list | tuple):
        return f"its attribute fields must be a list or tuple of names, not {names!r}"
    unknown = next((name for name in names if name not in known), None)
    hint = did_you_mean(str(unknown), known)
    return "" if unknown is None else f"its field {unknown!r} is none of LogFields.{hint}"


def _declared_methods(kind: str, plugin: Any) -> dict[str, Callable[..., Any]]:
    """Returns the methods that the protocol of a plugin's kind declares, by name."""
    from saetask.annotation.base import Annotator, WritingAnnotator
    from saetask.data.importers import Importer
    from saetask.data.tasks import AsksTwice, Task
    from saetask.detection.base import BaseDetector, Detector
    from saetask.dictionary.label.base import Labeler

    writes = hasattr(plugin, "request") or hasattr(plugin, "annotations")
    asks_twice = hasattr(plugin, "second_question") or hasattr(plugin, "score_second")
    protocols: dict[str, list[type]] = {
        "task": [Task, AsksTwice] if asks_twice else [Task],
        "detector": [BaseDetector, Detector],
        "annotator": [WritingAnnotator if writes else Annotator],
        "labeler": [Labeler],
        "importer": [Importer],
    }
    return {
        name: value
        for protocol in protocols[kind]
        for name, value in vars(protocol).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }


def _takes(own: Callable[..., Any], declared: Callable[..., Any], unbound: bool) -> bool:
    """Returns whether a method takes the arguments of a declared one, with optional ones or not."""
    try:
        signature = inspect.signature(own)
    except (TypeError, ValueError):  # some callables have none
        return True
    parameters = [*inspect.signature(declared).parameters.values()][not unbound :]
    needed = [p for p in parameters if p.default is inspect.Parameter.empty]
    try:
        signature.bind(*parameters)
        signature.bind(*needed)
    except TypeError:
        return False
    return True
