import re
import socket
import threading
import time

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

from saetask.utils.hub import hub_answers, hub_or_cache, hub_problem


@pytest.fixture(autouse=True)
def online(monkeypatch):
    """The offline mode of the other tests is off."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def refused_endpoint(monkeypatch):
    """An endpoint that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")


@pytest.mark.usefixtures("refused_endpoint")
def test_an_unreachable_hub_is_asked_once_and_its_cache_used_in_offline_mode(monkeypatch):
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    with pytest.raises(ValueError, match="within"), hub_or_cache():
        assert huggingface_hub.is_offline_mode()
        assert datasets.config.HF_HUB_OFFLINE
        raise ValueError("within")
    assert not huggingface_hub.is_offline_mode()
    assert not datasets.config.HF_HUB_OFFLINE


@pytest.mark.usefixtures("refused_endpoint")
def test_a_missing_file_of_an_unreachable_hub_fails_at_once_and_without_a_line(tmp_path, capfd):
    start = time.monotonic()
    with pytest.raises(LocalEntryNotFoundError), hub_or_cache():
        huggingface_hub.hf_hub_download("nobody/nothing", "config.json", cache_dir=tmp_path)
    assert time.monotonic() - start < 5
    assert capfd.readouterr() == ("", "")


def test_a_hub_that_answers_anything_is_asked_as_usual(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")

        def refuse():
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        with hub_or_cache():
            assert not huggingface_hub.is_offline_mode()
        thread.join()


def test_a_hub_that_accepts_and_says_nothing_is_waited_for_no_longer_than_stated(monkeypatch):
    monkeypatch.setattr("saetask.utils.hub.CONNECT_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        start = time.monotonic()
        assert not hub_answers()
        assert time.monotonic() - start < 2


def test_the_offline_mode_that_was_set_stays_and_asks_nothing(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("saetask.utils.hub.hub_answers", lambda: pytest.fail("asked"))
    with hub_or_cache():
        assert huggingface_hub.is_offline_mode()
    assert huggingface_hub.is_offline_mode()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (GatedRepoError, "asks for permission"),
        (RepositoryNotFoundError, "the hub has no such model; check the name"),
        (LocalEntryNotFoundError, r"cannot be reached; .* give a local model folder"),
        (ConnectionError, r"cannot be reached; .* give a local model folder"),
    ],
)
def test_the_hubs_errors_say_how_to_mend_them_also_as_causes(kind, message):
    error = kind.__new__(kind)
    outer = OSError("something\nlong")
    outer.__cause__ = error
    for each in (error, outer):
        found = hub_problem(each, "model")
        assert found is not None
        assert re.search(message, found)
        assert "\n" not in found


def test_other_errors_are_none_of_the_hubs():
    assert hub_problem(ValueError("of another kind"), "model") is None
