"""The report in a browser: an item opens, and its finding is shown by the view."""

import os
import shutil

import pytest

from saetask.report import write_report
from saetask.report.finding_record import misunderstanding_record
from tests.helpers.planted_evidence import SENTENCE, planted_finding
from tests.helpers.run_folders import raw_rows, summary, with_raw, write_run

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = os.environ.get("SAETASK_CHROMIUM") or shutil.which("chromium")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_an_item_shows_its_concepts(tmp_path) -> None:
    before, after = raw_rows(SENTENCE)
    after["misunderstandings"] = [misunderstanding_record(planted_finding()).to_json()]
    folder = write_run(tmp_path / "run", with_raw(summary()), [before, after])
    problems = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text))
        page.goto(write_report(folder).as_uri())
        page.locator("summary.item-row").first.click()
        finding = page.locator("sae-finding")
        marks = finding.locator("p.sv-text mark").all_inner_texts()
        text = finding.inner_text()
        if shot := os.environ.get("SAETASK_SCREENSHOT"):
            page.locator(".detail").screenshot(path=shot)
        browser.close()
    assert problems == []
    assert marks == ["swallowed", "insult", "soup"]
    for told in (
        "+1.20",
        "−0.60",
        "what has no telling name",
        "+0.31",
        "Margin +1.11: about 3 to 1",
    ):
        assert told in text
    assert "food (soup, bread)" in text and "not validated" in text
