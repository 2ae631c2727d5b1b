"""The page of a discovery in a browser: its prompts are shown by the view, with marks."""

import os
import shutil

import pytest

from saetask.discovery.documents import write_discovery
from saetask.discovery.page import write_discovery_page
from tests.discovery.test_page import HOSTILE
from tests.helpers.planted_discovery import discovery, row, shown, summary

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = os.environ.get("SAETASK_CHROMIUM") or shutil.which("chromium")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_marks_lie_on_the_tokens_and_texts_stay_texts(tmp_path) -> None:
    tokens = [
        {"start": 0, "end": 3, "text": "Ann", "activation": 1.0},
        {"start": 3, "end": 8, "text": " lost", "activation": 1.0},
        {"start": 20, "end": 400, "text": "?", "activation": 1.0},
    ]
    found = discovery(name=HOSTILE)
    write_discovery(tmp_path, summary(found), [row(found, shown(tokens=tokens, output=HOSTILE))])
    problems = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text))
        page.goto(write_discovery_page(tmp_path).as_uri())
        prompt = page.locator(".sv-prompts .sv-text").first
        text, marks = prompt.inner_text(), prompt.locator("mark").all_inner_texts()
        n_images = page.locator("img").count()
        width = page.evaluate("document.documentElement.scrollWidth")
        browser.close()
    assert problems == [] and n_images == 0 and width <= 390
    assert text == "Ann lost 3 of 9 marbles."
    assert marks == ["Ann", "lost", "les."]
