"""The explorer with planted readings, on a copy of the shipped dictionary."""

import shutil

import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from saetask.dictionary.dictionary import dictionary_folder
from saetask.explore.model_queue import ModelQueue
from saetask.explore.security import Access, Guard
from saetask.saes.loading import DEFAULT_SAE
from tests.helpers.planted_explorer import planted_app

ADDRESS = "http://127.0.0.1:8765"


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
