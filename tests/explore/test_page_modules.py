"""The page's scripts can be parsed, so that a slip is told without a browser."""

import shutil
import subprocess
from importlib.resources import files

import pytest

MODULES = {
    each.name: each.read_text(encoding="utf-8")
    for each in (files("saetask.explore") / "page").iterdir()
    if each.name.endswith(".js")
}


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize("name", MODULES)
def test_every_script_is_a_module(name, tmp_path) -> None:
    path = tmp_path / f"{name}.mjs"
    path.write_text(MODULES[name], encoding="utf-8")
    checked = subprocess.run(["node", "--check", path], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("name", MODULES)
def test_no_data_becomes_html_or_script(name) -> None:
    barred = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
    assert not [word for word in barred if word in MODULES[name]]
