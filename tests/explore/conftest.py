"""The explorer with planted readings, on a copy of the shipped dictionary."""

import os
import shutil
import socket
import threading
import time

import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from saetask.dictionary.dictionary import dictionary_folder
from saetask.explore.model_queue import ModelQueue
from saetask.explore.security import Access, Guard
from saetask.saes.loading import DEFAULT_SAE
from tests.helpers.planted_explorer import planted_app

ADDRESS = "http://127.0.0.1:8765"
CHROMIUM = os.environ.get("SAETASK_CHROMIUM") or shutil.which("chromium")
"""Debian's `chromium`, or another one that `$SAETASK_CHROMIUM` names."""
WAIT = 60_000
"""Milliseconds that a browser on a busy machine may take."""
IN_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]
READ = "#read?task=metaphor&text=He+swallowed+the+insult.&target=swallowed"
"""The page on which a prompt is read and something is found in it."""


@pytest.fixture
def folder(tmp_path):
    """A folder with a dictionary of one's own."""
    shutil.copytree(dictionary_folder(DEFAULT_SAE), tmp_path / "dictionary")
    return tmp_path


@pytest.fixture
def queue():
    queue = ModelQueue()
    yield queue
    queue.close()


@pytest.fixture
def app(folder, queue):
    return planted_app(folder, queue)


@pytest.fixture
def client(app):
    """A client of the guarded application, as the page would be."""
    return TestClient(Guard(app, Access("127.0.0.1", 8765)), base_url=ADDRESS)


@pytest.fixture
def address(app):
    """The explorer, served on a free port."""
    import uvicorn

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    access = Access("127.0.0.1", listening.getsockname()[1])
    server = uvicorn.Server(uvicorn.Config(Guard(app, access), log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield access.address
    server.should_exit = True
    thread.join(10)
    listening.close()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """A page that fails the test if its scripts do, or if the policy refuses something.

    It is closed before the explorer at `address` is, which it may still ask something.
    """
    problems = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(WAIT)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    yield page
    hit = page.evaluate("window.hit")
    page.close()
    assert hit is None
    assert [line for line in problems if "status of 422" not in line] == []
