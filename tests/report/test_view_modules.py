"""The views: plain modules that can be joined, and that never make HTML of data."""

import re
import shutil
import subprocess

import pytest

from saetask.report.evidence import REST, WEAKER, evidence_bars
from saetask.report.view_modules import joined_modules, view_files
from saetask.report.why import why_sentence
from tests.helpers.planted_evidence import planted_finding

MODULES = [name for name in view_files() if name.endswith(".js")]


@pytest.mark.parametrize("name", MODULES)
def test_no_data_becomes_html_or_script(name) -> None:
    text = view_files()[name]
    barred = (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
    )
    assert not [word for word in barred if word in text]
    assert set(re.findall(r"https?://[^\"]*", text)) <= {"http://www.w3.org/2000/svg"}
    assert 'setAttribute("style"' not in text  # the policy of the pages forbids it


@pytest.mark.parametrize("name", MODULES)
def test_imports_and_exports_are_of_the_form_that_can_be_joined(name) -> None:
    text = view_files()[name]
    for line in re.findall(r"^import .*|^.*\bexport\b.*", text, re.M):
        assert re.fullmatch(
            r'import (\{ [\w, ]+ \} from )?"\./[\w-]+\.js";'
            r"|export (async )?(function|const|class) \w+.*",
            line,
        ), line


def test_joined_modules_are_in_the_order_of_their_imports() -> None:
    joined = joined_modules(["items.js", "tokens.js", "items.js"])
    places = [
        joined.index(f'modules["{name}"] = ') for name in ("text.js", "finding.js", "items.js")
    ]
    assert places == sorted(places)
    assert joined.count('modules["text.js"] = ') == 1
    assert not re.search(r"^(import|export) ", joined, re.M)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_joined_modules_are_a_script(tmp_path) -> None:
    path = tmp_path / "views.js"
    path.write_text(joined_modules(MODULES), encoding="utf-8")
    checked = subprocess.run(["node", "--check", path], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_what_no_concept_adds_has_one_name_in_sentences_tables_and_views() -> None:
    finding = planted_finding()
    assert f"{REST} adds +0.31" in why_sentence(finding)
    assert (evidence_bars(finding)[-1].name, evidence_bars(finding)[-1].contribution) == (
        REST,
        0.31,
    )
    assert f'const REST = "{REST}", WEAKER = "{WEAKER}";' in view_files()["finding.js"]
