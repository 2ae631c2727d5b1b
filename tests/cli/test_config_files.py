"""YAML files as configs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from saetask.cli.config_files import read_config
from tests.helpers.refusals import refusal


@dataclass(frozen=True)
class Source:
    """A part."""

    path: str
    share: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """A whole."""

    model: str
    sources: list[Source] = field(default_factory=list)
    way: Literal["rank", "generate"] = "rank"
    limit: int | None = None
    rate: float = 0.5
    data: Path | None = None
    options: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def read(tmp_path):
    """Returns a function that reads a text as a recipe."""

    def read(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return read_config(path, Recipe, "Recipe")

    return read


def test_a_file_is_read_as_the_config_itself(read) -> None:
    text = "model: m\nsources: [{path: a.txt, share: 2}, {path: b.txt}]\nlimit: 30\nrate: 8e-4\n"
    text += "way: generate\ndata: c.jsonl\noptions: {workers: 4}\nextra: {k: 3, deep: {a: [1]}}\n"
    config = read(text)
    assert config == Recipe(
        "m",
        [Source("a.txt", 2.0), Source("b.txt")],
        "generate",
        30,
        0.0008,
        Path("c.jsonl"),
        {"workers": "4"},
        {"k": 3, "deep": {"a": [1]}},
    )
    assert type(config) is Recipe and type(config.sources[0]) is Source
    assert read("model: m\nlimit: null\n") == Recipe("m")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "key 'model': it is missing."),
        ("modell: m\n", "unknown key 'modell'. Did you mean 'model'?"),
        ("model: m\nlimit: many\n", "key 'limit': expected a valid integer"),
        ("model: m\nway: dance\n", "key 'way': expected 'rank' or 'generate', found 'dance'."),
        ("model: m\nsources: [{pth: a}]\n", "unknown key 'sources.0.pth'. Did you mean 'path'?"),
        ("model: m\nrate: true\n", "key 'rate': expected a number, found True."),
        ("model: m\nlimit: no\n", "key 'limit': expected a number, found False."),
        ("model: m\nsources: [{path: a, share: yes}]\n", "key 'sources.share': expected a number"),
        ("model: m\nsources: [{share: 1}]\n", "key 'sources': '0.path': it is missing."),
        ("model: m\nsources: a.txt\n", "key 'sources': expected a valid list, found 'a.txt'."),
        ("just text", "expected KEY: VALUE lines, found 'just text'."),
        ("[unclosed", "while parsing a flow sequence"),
        ("3: 4\nmodel: m\n", "3"),
        ("model: m\nrate: 1\nrate: 2\n", "key 'rate' is given twice (line 3)."),
        ("model: m\nextra: {a: {b: 1, 'b': 1}}\n", "key 'b' is given twice (line 2)."),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_key(read, tmp_path, text, message) -> None:
    line = refusal(read, text)
    assert line.startswith(f"Recipe {tmp_path / 'recipe.yaml'}: ") and "\n" not in line
    assert message in line


def test_a_key_may_replace_one_that_is_merged_in(read) -> None:
    text = "model: m\nextra: {a: &a {k: 1, l: 2}, b: {c: &c {<<: *a, k: 3}}, d: {<<: *c, k: 4}}\n"
    extra = read(text).extra
    assert extra["b"]["c"] == {"k": 3, "l": 2} and extra["d"] == {"k": 4, "l": 2}


def test_a_missing_file_is_named(tmp_path) -> None:
    path = tmp_path / "none.yaml"
    assert refusal(read_config, path, Recipe, "Recipe") == f"Recipe {path} does not exist."
