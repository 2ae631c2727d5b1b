"""The README and the pages of docs/: short, linked, complete, and generated where they say so."""

import re
from pathlib import Path

import pytest
import yaml

from benchmarks import keys, reference
from benchmarks.config_keys import config_keys
from saetask.cli.commands import Command, CommandGroup
from saetask.cli.main import ROOT as COMMANDS
from saetask.experiments.config import RunConfig

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
LONGEST_README = 150


def without_code(text: str) -> str:
    """Returns Markdown without its code, in which brackets are no links."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def targets(page: Path) -> list[str]:
    """Returns the relative links of a page, without their anchors."""
    links = LINK.findall(without_code(page.read_text(encoding="utf-8")))
    return [link.partition("#")[0] for link in links if "://" not in link and link[0] != "#"]


def test_the_readme_is_short_and_links_to_every_section_of_the_site() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_README
    linked = {(ROOT / target).resolve() for target in targets(README)}
    generated = ROOT / "docs" / "reference"
    notebooks = set((ROOT / "notebooks").glob("*.ipynb"))
    assert {page for page in PAGES if generated not in page.parents} | notebooks <= linked


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    dead = [target for target in targets(page) if not (page.parent / target).exists()]
    assert not dead


def test_every_page_has_a_place_on_the_site() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))

    def places(nav: list) -> list[str]:
        entries = [value for entry in nav for value in entry.values()]
        return [p for e in entries for p in (places(e) if isinstance(e, list) else [e])]

    written = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES]
    assert sorted(places(config["nav"])) == sorted(written)


def test_every_command_is_described() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")

    def names(group: CommandGroup) -> list[str]:
        return [name for name, command in group.commands() if isinstance(command, Command)]

    missing = [name for name in names(COMMANDS) if f"saetask {name}" not in page]
    dictionary = COMMANDS.sections["SAEs and dictionaries"]["dictionary"]
    assert isinstance(dictionary, CommandGroup)
    missing += [name for name in names(dictionary) if not re.search(rf"\b{name} DIR|build", page)]
    assert not missing


def test_keys_have_a_row_with_type_default_and_docstring() -> None:
    rows = {key.name: key for key in config_keys(RunConfig)}
    assert rows.keys() == {field for field in RunConfig.__dataclass_fields__}
    assert rows["folds"].values == "whole number" and rows["folds"].default == "5"
    assert rows["data"].values == "path or null"
    assert all(key.description for key in rows.values())


@pytest.mark.parametrize("generator", [keys, reference])
def test_generated_pages_are_current(generator, capsys) -> None:
    assert generator.main(["--check"]) == 0, capsys.readouterr().out


def test_a_page_that_was_changed_by_hand_is_told(tmp_path, capsys) -> None:
    keys.main([], tmp_path)
    page = tmp_path / keys.PAGE
    page.write_text(page.read_text(encoding="utf-8") + "more", encoding="utf-8")
    assert keys.main(["--check"], tmp_path) == 1
    assert str(keys.PAGE) in capsys.readouterr().out


def test_the_reference_has_a_page_for_each_stub_and_no_other(tmp_path) -> None:
    package = tmp_path / "saetask" / "part"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""A part."""\n')
    (package / "__init__.pyi").write_text("from .module import Thing as Thing\n")
    old = tmp_path / reference.FOLDER / "old.md"
    old.parent.mkdir(parents=True)
    old.write_text("of a part that is gone")
    reference.main([], tmp_path)
    (page,) = old.parent.iterdir()
    assert page.name == "saetask.part.md"
    assert page.read_text().endswith("A part.\n\n::: saetask.part.Thing\n")
