"""`saetask init`: each file to start from is complete, and does what its first lines say."""

import dataclasses
import errno
import json
import os
import re
import tempfile
from pathlib import Path

import pytest

from saetask.cli.config_files import read_config
from saetask.cli.main import main
from saetask.cli.starting_files import KINDS, PLUGIN_KINDS, starting_text
from saetask.data import check_prompt
from saetask.experiments.config import RunConfig
from saetask.plugins import PluginRegistry
from saetask.training.config import TrainConfig
from saetask.training.recipe import check_recipe
from tests.helpers.refusals import refusal

GUIDE = Path(__file__).parents[2] / "docs" / "plugins.md"
CONFIGS = {"experiment": RunConfig, "recipe": TrainConfig}


def start(folder: Path, kind: str) -> Path:
    """Returns the file that the command writes."""
    path = folder / f"start.{'py' if kind in PLUGIN_KINDS else 'yaml'}"
    assert main(["init", kind, str(path)]) == 0
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_lines_give_commands_with_the_file_in_them(kind, tmp_path, capsys) -> None:
    path = start(tmp_path, kind)
    assert capsys.readouterr().out.startswith(f"{path}: written")
    text = path.read_text(encoding="utf-8")
    assert re.search(rf"saetask \w+ .*{re.escape(str(path))}", text)
    assert "THIS_FILE" not in text


@pytest.mark.parametrize("kind", PLUGIN_KINDS)
def test_a_plugin_is_found_and_passes_the_checks_of_the_registry(kind, tmp_path) -> None:
    registry = PluginRegistry([start(tmp_path, kind)])
    (own,) = (p for p in registry.all() if Path(p.source).name == "start.py" and p.kind == kind)
    assert own.summary


def test_the_experiment_runs_the_default_experiment(tmp_path) -> None:
    path = start(tmp_path, "experiment")
    assert read_config(path, RunConfig, "Experiment") == RunConfig(task="metaphor")


def test_the_recipe_passes_the_checks_of_training(tmp_path) -> None:
    recipe = read_config(start(tmp_path, "recipe"), TrainConfig, "Recipe")
    check_recipe(recipe)
    assert recipe.harvest.corpus.sources[0].path == "texts.jsonl"


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_key_is_there_and_the_commented_ones_have_their_default(kind, tmp_path) -> None:
    path = start(tmp_path, kind)
    before = read_config(path, CONFIGS[kind], kind)
    text = path.read_text(encoding="utf-8")
    for field in dataclasses.fields(CONFIGS[kind]):
        assert re.search(rf"^#?{field.name}:", text, re.MULTILINE), field.name
    path.write_text(re.sub(r"^( *)#(?=\w+:)", r"\1", text, flags=re.MULTILINE), encoding="utf-8")
    assert read_config(path, CONFIGS[kind], kind) == before


def test_the_task_makes_prompts_of_its_items_and_of_a_file(tmp_path) -> None:
    registry = PluginRegistry([start(tmp_path, "task")])
    task = registry.get("task", "irony")
    rows = tmp_path / "items.jsonl"
    rows.write_text('{"id": 1, "situation": "It rains", "remark": "How nice", "ironic": true}\n')
    for item in [
        *task.items(),
        *task.items(rows),
        task.question_from_text("It rains. Nice.", None),
    ]:
        prompt = check_prompt(task.name, item, task.prompt(item))
        span = prompt.spans["text"]
        assert item.question["remark"] in prompt.content[span.start : span.end]
    for item in task.items():
        right = [c.reading for c in task.candidates(item) if task.score(item, c.text).correct]
        assert right == [task.gold_reading(item)]
    assert {name for name in task.annotators} <= registry.by_name("annotator").keys()


@pytest.mark.parametrize("kind", sorted(set(PLUGIN_KINDS) - {"task"}))
def test_the_other_plugins_are_those_of_the_guide(kind) -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert any(block in starting_text(kind) for block in blocks)


def test_a_file_that_exists_is_left_as_it_is(tmp_path, capsys) -> None:
    path = tmp_path / "mine.py"
    path.write_text("mine")
    assert main(["init", "task", str(path)]) == 2
    assert "exists" in capsys.readouterr().err and path.read_text() == "mine"


def test_a_file_of_another_kind_is_refused_with_the_name_to_give(tmp_path, capsys) -> None:
    assert main(["init", "recipe", str(tmp_path / "recipe.py")]) == 2
    assert f"give {tmp_path / 'recipe.yaml'}" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("", "'.' is a folder; give the file to write, such as my_task.py."),
        (".", "'.' is a folder; give the file to write, such as my_task.py."),
        ("inner", "'inner' is a folder; give the file to write, such as inner/my_task.py."),
        ("file/x.py", "file is a file; give a folder."),
        (f"{'x' * 300}.py", "cannot be written (File name too long)"),
    ],
)
def test_a_name_that_no_file_can_have_is_one_line(tmp_path, monkeypatch, capsys, file, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner").mkdir()
    (tmp_path / "file").touch()
    assert main(["init", "task", file]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_folder_that_takes_no_files_is_one_line(tmp_path, monkeypatch, capsys) -> None:
    def no_entry(*arguments):  # as for a file in /proc
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(tempfile, "mkdtemp", no_entry)
    assert main(["init", "importer", str(tmp_path / "x.py")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "x.py cannot be written (No such file or directory)" in line


def test_json_names_the_file(tmp_path, capsys) -> None:
    path = tmp_path / "a.yaml"
    assert main(["init", "experiment", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(path)}


def test_an_unknown_key_beside_the_others_is_still_refused(tmp_path) -> None:
    path = start(tmp_path, "experiment")
    path.write_text(path.read_text(encoding="utf-8") + "limt: 3\n", encoding="utf-8")
    assert "Did you mean 'limit'" in refusal(read_config, path, RunConfig, "Experiment")
