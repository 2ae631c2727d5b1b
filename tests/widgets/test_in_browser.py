"""The widget's module in a browser, with a model as anywidget's frontend has one."""

import json
import os
import shutil

import pytest

from saetask import widgets
from tests.helpers.planted_explorer import planted_activations
from tests.widgets.test_views import DETECTION, SENTENCE

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("anywidget")
CHROMIUM = os.environ.get("SAETASK_CHROMIUM") or shutil.which("chromium")
MODEL = """
const traits = TRAITS, heard = {};
window.model = {
  get: (name) => traits[name], set: (name, value) => { traits[name] = value; },
  save_changes: () => { window.saved = traits.chosen; heard["change:chosen"].map((act) => act()); },
  on: (name, act) => { (heard[name] ??= []).push(act); }, off: (name) => { heard[name] = []; },
};
const widget = await import(URL.createObjectURL(new Blob([MODULE], { type: "text/javascript" })));
window.end = widget.default.render({ model: window.model, el: document.body });
"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_what_is_clicked_is_chosen_in_python() -> None:
    problems = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        for widget, clicked in (
            (widgets.tokens(planted_activations(SENTENCE, 8)), ".sv-row >> nth=1"),
            (widgets.finding(DETECTION), ".sv-concept >> nth=0"),
        ):
            names = ("view", "about", "documents", "chosen")
            traits = {name: getattr(widget, name) for name in names}
            script = MODEL.replace("TRAITS", json.dumps(traits))
            page.set_content("<!doctype html><title>widget</title>")
            page.add_style_tag(content=widget._css)
            page.add_script_tag(
                type="module", content=script.replace("MODULE", json.dumps(widget._esm))
            )
            page.click(clicked)
            widget.chosen = page.evaluate("window.saved")
            if shot := os.environ.get("SAETASK_SCREENSHOT"):
                page.screenshot(path=f"{shot}-{widget.view}.png", full_page=True)
        browser.close()
    assert widget.chosen == "on:food (soup, bread)"
    assert problems == []
