"""Plugins: found where they are installed, unique by name, and built on the public interface."""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import saetask
from saetask import UserError
from saetask.plugins import KINDS, PluginRegistry
from tests.helpers.refusals import refusal

ROOT = Path(__file__).parents[2]
EXAMPLE = Path(__file__).parents[1] / "example_plugin"
HEAVY = ("torch", "transformers", "transformer_lens", "sae_lens", "sklearn", "saetask_plugins")

TASK_FILE = '''
from saetask import hookimpl


class Rhymes:
    """Do the words rhyme?"""

    name = "{name}"
    readings = ("yes", "no")
    annotators = ()

    def items(self, data=None): ...
    def prompt(self, item): ...
    def candidates(self, item): ...
    def score(self, item, output): ...
    def gold_reading(self, item): ...
    def question_from_text(self, text, target): ...


@hookimpl
def saetask_tasks():
    return [Rhymes()]
'''


def plugin_file(folder: Path, name: str, text: str = TASK_FILE) -> Path:
    path = folder / f"{name.replace('-', '_')}.py"
    path.write_text(text.format(name=name))
    return path


def python(*arguments: str, **environment: str) -> str:
    """Runs another interpreter, away from the repository; returns what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def names(registry: PluginRegistry, kind: str) -> set[str]:
    return {plugin.name for plugin in registry.all() if plugin.kind == kind}


# installed packages


def pip_install(target: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(EXAMPLE, source)  # setuptools writes build folders beside the sources
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("setuptools") else []
    install = ["-m", "pip", "install", "--quiet", "--no-deps", *isolation]
    python(*install, "--target", str(target), str(source))


def copy_as_pip_does(target: Path, tmp_path: Path) -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    entries = project["entry-points"]["saetask"]
    name = project["name"].replace("-", "_")
    about = target / f"{name}-{project['version']}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    lines = [f"{name} = {module}\n" for name, module in entries.items()]
    (about / "entry_points.txt").write_text("".join(["[saetask]\n", *lines]))
    shutil.copy(EXAMPLE / "saetask_coin_words.py", target)


@pytest.mark.parametrize(
    "install", [copy_as_pip_does, pytest.param(pip_install, marks=pytest.mark.slow)]
)
def test_an_installed_package_adds_its_task_and_annotator(install, tmp_path):
    target = tmp_path / "site"
    install(target, tmp_path)

    listing = "from saetask.cli.main import main; raise SystemExit(main(['plugins', '--json']))"
    plugins = json.loads(python("-c", listing, PYTHONPATH=str(target)))

    found = {(p["kind"], p["name"]): p for p in plugins}
    assert found["task", "coin-words"]["source"] == "coin-words"
    assert (
        found["task", "coin-words"]["summary"] == "A word for money in a sentence: is money meant?"
    )
    assert ("annotator", "coin-note") in found
    assert {("task", "metaphor"), ("detector", "failure-probe")} <= set(found)
    assert ("task", "coin-words") not in {
        (p["kind"], p["name"]) for p in json.loads(python("-c", listing))
    }


def test_the_built_in_plugins_are_found_each_with_a_source_and_a_summary():
    registry = PluginRegistry()
    assert names(registry, "task") >= {"metaphor", "word-problems"}
    detectors = {"failure-probe", "sense-conflict", "missing-concept", "uncertainty"}
    assert names(registry, "detector") >= detectors
    annotators = {"sense-note", "operation-note", "feature-label", "gloss"}
    assert names(registry, "annotator") >= annotators
    assert all(plugin.source and plugin.summary for plugin in registry.all())


def test_every_annotator_that_a_task_names_is_registered():
    registry = PluginRegistry()
    for task in (plugin.value for plugin in registry.all() if plugin.kind == "task"):
        assert set(task.annotators) <= names(registry, "annotator")


# names


@pytest.mark.parametrize(
    ("kind", "typo", "meant"),
    [
        ("task", "metafor", "metaphor"),
        ("detector", "failure-prob", "failure-probe"),
        ("annotator", "sense-notes", "sense-note"),
    ],
)
def test_an_unknown_name_suggests_a_similar_one(kind, typo, meant):
    with pytest.raises(UserError, match=f"^Unknown {kind} '{typo}'. Did you mean '{meant}'\\?$"):
        PluginRegistry().get(kind, typo)


def test_an_unknown_name_like_no_other_lists_the_known_ones():
    with pytest.raises(UserError, match=r"Known: .*metaphor.*word-problems"):
        PluginRegistry().get("task", "zzz")


def test_a_duplicate_name_is_refused_with_both_sources_named(tmp_path):
    path = plugin_file(tmp_path, "metaphor")
    with pytest.raises(UserError, match="task 'metaphor'") as raised:
        PluginRegistry([path])
    assert "'builtin'" in str(raised.value)
    assert f"'{path}'" in str(raised.value)


def test_two_files_with_one_name_are_refused_with_both_sources_named(tmp_path):
    (tmp_path / "a").mkdir()
    paths = [plugin_file(tmp_path, "rhymes"), plugin_file(tmp_path / "a", "rhymes")]
    with pytest.raises(UserError) as raised:
        PluginRegistry(paths)
    assert all(f"'{path}'" in str(raised.value) for path in paths)


def test_the_same_file_twice_is_a_user_error(tmp_path):
    path = plugin_file(tmp_path, "rhymes")
    with pytest.raises(UserError, match=re.escape(str(path))):
        PluginRegistry([path, path])


def test_a_plugin_object_without_a_name_is_a_user_error_that_names_its_file(tmp_path):
    text = TASK_FILE.replace('name = "{name}"', "pass")
    path = plugin_file(tmp_path, "nameless", text)
    with pytest.raises(UserError, match="has no name") as raised:
        PluginRegistry([path])
    assert str(path) in str(raised.value)


# contracts


def hook(kind: str, body: str) -> str:
    """Returns the text of a plugin file whose hook returns what `body` defines as `Mine`."""
    return (
        "from saetask import hookimpl\n\n" + body + f"\n\n@hookimpl\ndef saetask_{kind}s():\n"
        f"    return [{'Mine' if kind == 'detector' else 'Mine()'}]\n"
    )


ANNOTATOR = (
    "class Mine:\n    name = 'mine'\n    def candidates(self, misunderstanding, labels): ..."
)
IMPORTER = (
    "class Mine:\n    name = 'mine'\n    fields = ()\n    def recognises(self, log): ...\n"
    "    def read(self, log, fields): ..."
)
FAULTS = [
    ("task", TASK_FILE.replace("    def prompt(self, item): ...\n", ""), "no method prompt(item)"),
    ("task", TASK_FILE.replace("def score(self, item, output)", "def score(self, item)"), "score"),
    ("task", TASK_FILE.replace("data=None", "data"), "items(data)"),
    ("task", TASK_FILE.replace('("yes", "no")', '"yes"'), "attribute readings"),
    ("task", TASK_FILE.replace("saetask_tasks", "saetask_task"), "Did you mean 'saetask_tasks'"),
    ("task", TASK_FILE.replace("def saetask_tasks", "def tasks"), "tasks is no hook"),
    ("task", TASK_FILE.replace("@hookimpl\n", ""), "not marked with @hookimpl"),
    (
        "task",
        TASK_FILE.replace("@hookimpl\n", "").replace("def saetask_tasks", "def saetak_tasks"),
        "saetak_tasks is no hook of saetask. Did you mean 'saetask_tasks'",
    ),
    ("task", "def helper():\n    return 3\n", "has no hook of saetask; define one of"),
    ("task", TASK_FILE.replace("[Rhymes()]", "[Rhymes]"), "it is a class, not an instance"),
    ("task", TASK_FILE.replace("[Rhymes()]", "Rhymes()"), "must return a list"),
    ("task", TASK_FILE.replace("saetask_tasks()", "saetask_tasks(registry)"), "registry"),
    ("annotator", ANNOTATOR.replace(", labels", ""), "candidates(misunderstanding, labels)"),
    ("annotator", ANNOTATOR.replace("candidates", "request"), "no method annotations(text)"),
    ("annotator", ANNOTATOR + "\n    options_type = dict", "no dataclass"),
    ("labeler", "class Mine:\n    name = 'mine'", "no method label(evidence)"),
    ("detector", "class Mine:\n    name = 'mine'\n    def fit(self): ...", "fit(inputs, "),
    ("importer", IMPORTER.replace("log, fields", "log"), "read(log, fields)"),
    ("importer", IMPORTER.replace("fields = ()", ""), "attribute fields"),
    ("importer", IMPORTER.replace("()", "('metrik',)", 1), "Did you mean 'metric'"),
]


@pytest.mark.parametrize(("kind", "text", "named"), FAULTS, ids=[named for *_, named in FAULTS])
def test_a_plugin_that_breaks_its_contract_is_refused_in_one_line(tmp_path, kind, text, named):
    path = tmp_path / "faulty.py"
    path.write_text(text.format(name="faulty") if kind == "task" else hook(kind, text))
    message = refusal(PluginRegistry, [path])
    assert named in message and str(path) in message


def test_importers_of_the_user_come_before_those_of_saetask(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(hook("importer", IMPORTER))
    assert list(PluginRegistry([path]).by_name("importer"))[:2] == ["mine", "saetask"]


def test_a_plugin_may_name_its_parameters_as_it_likes_and_take_more(tmp_path):
    body = ANNOTATOR.replace("misunderstanding, labels", "found, *rest, limit=3")
    path = tmp_path / "free.py"
    path.write_text(hook("annotator", body))
    assert PluginRegistry([path]).get("annotator", "mine").name == "mine"


# files


def test_a_plugin_file_is_loaded_when_it_is_passed_and_only_then(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = plugin_file(tmp_path, "rhymes")
    assert "rhymes" not in names(PluginRegistry(), "task")
    registry = PluginRegistry([path])
    assert registry.get("task", "rhymes").name == "rhymes"
    assert {p.source for p in registry.all() if p.name == "rhymes"} == {str(path)}
    assert "rhymes" not in names(PluginRegistry(), "task")


@pytest.mark.parametrize(
    "text",
    [
        "raise RuntimeError('first line\\nsecond line')",
        "def broken(:\n",
        "import no_such_module_anywhere",
        "import sys; sys.exit(0)",
        TASK_FILE.format(name="x").replace("return [Rhymes()]", "return [1 / 0]"),
        TASK_FILE.format(name="x").replace("return [Rhymes()]", "raise SystemExit"),
        TASK_FILE.format(name="x").replace("return [Rhymes()]", "return None"),
    ],
    ids=[
        "raises",
        "syntax error",
        "missing import",
        "exits",
        "hook raises",
        "hook exits",
        "hook returns no list",
    ],
)
def test_a_plugin_file_that_fails_is_a_user_error_of_one_line_that_names_it(tmp_path, text):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(str(path))) as raised:
        PluginRegistry([path])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["missing.py", "folder.py", "plugin.txt"])
def test_a_plugin_file_that_is_missing_or_no_python_file_is_a_user_error(tmp_path, name):
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "plugin.txt").write_text(TASK_FILE.format(name="x"))
    with pytest.raises(UserError, match=re.escape(str(tmp_path / name))):
        PluginRegistry([tmp_path / name])


def test_an_installed_plugin_that_fails_to_import_is_a_user_error_that_names_it(
    tmp_path, monkeypatch
):
    (tmp_path / "broken_saetask_plugin.py").write_text("raise RuntimeError('no')")
    distribution = tmp_path / "broken_saetask_plugin-1.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (distribution / "entry_points.txt").write_text("[saetask]\nbroken = broken_saetask_plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="broken"):
        PluginRegistry()


# boundaries


def test_importing_saetask_and_asking_for_help_import_nothing_heavy():
    script = (
        "import sys, saetask; from saetask.cli.main import main; main(['--help']); "
        "import saetask.errors, saetask.data.tasks, saetask.data.prompts; "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert python("-c", script).splitlines()[-1] == "[]"


def test_every_public_name_resolves_and_is_hidden_by_no_module_of_its_name():
    for name in saetask.__all__:
        assert not isinstance(getattr(saetask, name), ModuleType)
    assert set(saetask.__all__) <= set(dir(saetask))


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = saetask.no_such_name


def imported_modules(path: Path) -> set[str]:
    """Returns the absolute modules that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module or "")
    return found


SUBPACKAGES = ("annotation", "data", "detection", "dictionary", "inference", "saes")
"""Those with public names of their own."""


def private_uses(path: Path) -> list[str]:
    """Returns what a plugin file takes from saetask beyond the public names of a package."""
    public = {"saetask": saetask.__all__}
    public |= {f"saetask.{n}": import_module(f"saetask.{n}").__all__ for n in SUBPACKAGES}
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("saetask.")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("saetask"):
            names = public.get(str(node.module), ())
            found += [f"{node.module}.{a.name}" for a in node.names if a.name not in names]
    return found


@pytest.mark.parametrize("name", SUBPACKAGES)
def test_every_public_name_of_a_subpackage_resolves(name):
    package = import_module(f"saetask.{name}")
    for public in package.__all__:
        assert not isinstance(getattr(package, public), ModuleType)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "saetask").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_the_core_imports_no_plugin(path):
    imported = {module.partition(".")[0] for module in imported_modules(path)}
    assert not imported & {"saetask_plugins", "plugins"}


@pytest.mark.parametrize(
    "path",
    sorted([*(ROOT / "plugins").rglob("*.py"), *EXAMPLE.rglob("*.py")]),
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_a_plugin_uses_public_names_of_saetask_only(path):
    assert private_uses(path) == []


def test_the_scan_for_private_uses_finds_them(tmp_path):
    path = tmp_path / "plugin.py"
    path.write_text(
        "from saetask import hookimpl, utils\n"
        "from saetask.data import Item, corpus\n"
        "from saetask.data.items import read_rows\n"
    )
    uses = ["saetask.utils", "saetask.data.corpus", "saetask.data.items.read_rows"]
    assert private_uses(path) == uses


def test_there_is_a_hook_for_every_kind():
    from saetask.plugins import Hooks

    hooks = {name for name in vars(Hooks) if name.startswith("saetask_")}
    assert hooks == {f"saetask_{kind}s" for kind in KINDS}
