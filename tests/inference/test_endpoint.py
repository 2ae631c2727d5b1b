"""An endpoint is asked, asked again where that may help, and given up where it is not there."""

import socket
import sys
from contextlib import suppress

import pytest

from saetask.inference import Endpoint, EndpointError, Reply, json_object
from saetask.inference.endpoint import FAILURES_IN_A_ROW
from tests.helpers.chat_server import ChatServer, Said, chat_server
from tests.helpers.refusals import refusal

QUESTION = [{"role": "user", "content": "What is it?"}]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")


def scripted(*said):
    """Says one thing after the other, the last for ever."""
    left = list(said)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


def test_an_answer_comes_with_what_it_cost() -> None:
    with chat_server(lambda request: "a ship") as server:
        reply = Endpoint("tiny", server.url).ask(QUESTION)
    assert reply == Reply("a ship", ChatServer.prompt_tokens, ChatServer.completion_tokens)
    assert server.requests[0]["model"] == "tiny"
    assert server.requests[0]["messages"] == QUESTION
    assert server.requests[0]["temperature"] == 0
    assert server.keys == ["Bearer secret"]


def test_the_address_may_come_from_the_environment(monkeypatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with chat_server(lambda request: "yes") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert Endpoint("tiny").ask(QUESTION).text == "yes"


def test_a_server_error_is_asked_again() -> None:
    with chat_server(scripted(Said("busy", 500), Said("busy", 503), "at last")) as server:
        assert Endpoint("tiny", server.url, retries=2).ask(QUESTION).text == "at last"
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "said",
    [
        Said("too long", 400),
        Said("broken", 500),
        Said(b"<html>hello</html>", raw=True),
        Said(b"{}", raw=True),
        Said(b'{"choices": []}', raw=True),
        "",
    ],
)
def test_no_usable_answer_fails_the_question_and_nothing_more(said) -> None:
    with chat_server(lambda request: said) as server:
        endpoint = Endpoint("tiny", server.url, retries=0)
        for _ in range(2 * FAILURES_IN_A_ROW):
            with pytest.raises(EndpointError):
                endpoint.ask(QUESTION)


def test_an_endpoint_that_is_not_there_is_given_up_in_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    endpoint = Endpoint("tiny", url, retries=0)
    for _ in range(FAILURES_IN_A_ROW - 1):
        with pytest.raises(EndpointError):
            endpoint.ask(QUESTION)
    message = refusal(endpoint.ask, QUESTION)
    assert url in message and "'tiny'" in message and "again" in message


@pytest.mark.parametrize("status", [401, 404, 503])
def test_turning_every_question_away_is_being_down(status) -> None:
    with chat_server(lambda request: Said("go away", status)) as server:
        endpoint = Endpoint("tiny", server.url, retries=0)
        for _ in range(FAILURES_IN_A_ROW - 1):
            with pytest.raises(EndpointError, match="go away"):
                endpoint.ask(QUESTION)
        assert "go away" in refusal(endpoint.ask, QUESTION)


def test_an_answer_between_failures_is_a_sign_of_life() -> None:
    failures = [Said("busy", 503)] * (FAILURES_IN_A_ROW - 1)
    with chat_server(scripted(*failures, "here", *failures, "still here")) as server:
        endpoint = Endpoint("tiny", server.url, retries=0)
        found = []
        for _ in range(2 * FAILURES_IN_A_ROW):
            with suppress(EndpointError):
                found.append(endpoint.ask(QUESTION).text)
    assert found == ["here", "still here"]


def test_waiting_ends() -> None:
    with chat_server(lambda request: Said("late", delay=0.5)) as server:
        endpoint = Endpoint("tiny", server.url, timeout=0.05, retries=0)
        with pytest.raises(EndpointError):
            endpoint.ask(QUESTION)


def test_a_model_that_samples_in_one_way_only_is_let() -> None:
    def choosy(request):
        return Said("temperature is not supported", 400) if "temperature" in request else "fine"

    with chat_server(choosy) as server:
        endpoint = Endpoint("tiny", server.url)
        assert [endpoint.ask(QUESTION).text for _ in range(2)] == ["fine", "fine"]
    assert len(server.requests) == 3


def test_without_a_key_or_an_address_it_says_what_to_set(monkeypatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "OPENAI_API_KEY" in refusal(Endpoint, "tiny")


def test_without_the_client_library_it_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    assert "saetask[llm]" in refusal(Endpoint, "tiny", "http://127.0.0.1:1/v1")


@pytest.mark.parametrize(
    "text", ['{"a": 1}', ' \n{"a": 1}\n', '```json\n{"a": 1}\n```', '```\n{"a": 1}```']
)
def test_an_object_alone_is_read(text) -> None:
    assert json_object(text) == {"a": 1}


@pytest.mark.parametrize("text", ["", "a ship", "[1]", "1", '{"a": 1', 'Sure: {"a": 1}'])
def test_anything_else_is_no_object(text) -> None:
    with pytest.raises(EndpointError, match="no JSON object"):
        json_object(text)
