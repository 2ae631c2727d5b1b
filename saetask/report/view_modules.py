"""The views: ES modules with custom elements, which the explorer serves file by file.

A page of one file, and a notebook, get several of them joined into one script: each module in a
function of its own, so that names do not meet. That asks for a plain form of imports and exports,
one a line, which tests hold the modules to.
"""

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

STYLES = "views.css"
_IMPORT = re.compile(r'^import (?:\{ ([\w, ]+) \} from )?"\./([\w-]+\.js)";\n', re.M)
_EXPORT = re.compile(r"^export (?:async )?(?:function|const|class) (\w+)", re.M)


@cache
def view_files() -> dict[str, str]:
    """Returns the text of each module and style sheet by its name."""
    folder = files("saetask.report") / "views"
    every = sorted((each for each in folder.iterdir() if each.is_file()), key=lambda e: e.name)
    return {
        each.name: each.read_text(encoding="utf-8")
        for each in every
        if each.name.endswith((".js", ".css"))
    }


def joined_modules(names: Iterable[str]) -> str:
    """Returns modules and all that they import as one script.

    Args:
        names: The modules, such as `finding.js`.

    Returns:
        A script; what it defines are the modules' custom elements, no global names.
    """
    return f"(() => {{\n{_in_order(names)}}})();\n"


def es_module(name: str) -> str:
    """Returns a module and all that it imports as one ES module.

    Args:
        name: The module; its exports become the properties of the default export.
    """
    return f'{_in_order([name])}export default modules["{name}"];\n'


def _in_order(names: Iterable[str]) -> str:
    """Returns modules and all that they import, those that are imported first."""
    ordered: list[str] = []
    for name in names:
        _add(name, ordered)
    return "const modules = {};\n" + "".join(map(_wrapped, ordered))


def _add(name: str, ordered: list[str]) -> None:
    """Appends a module after those that it imports."""
    if name in ordered:
        return
    for _, other in _IMPORT.findall(view_files()[name]):
        _add(other, ordered)
    ordered.append(name)


def _wrapped(name: str) -> str:
    """Returns a module as a function that is called at once and returns its exports."""
    text = view_files()[name]
    exported = ", ".join(_EXPORT.findall(text))
    text = _IMPORT.sub(_taken, text)
    text = re.sub(r"^export ", "", text, flags=re.M)
    return f'modules["{name}"] = (() => {{\n"use strict";\n{text}return {{ {exported} }};\n}})();\n'


def _taken(found: re.Match[str]) -> str:
    """Returns what stands for an import, which has run by then."""
    return f'const {{ {found[1]} }} = modules["{found[2]}"];\n' if found[1] else ""
