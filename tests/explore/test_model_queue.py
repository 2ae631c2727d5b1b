"""The model's queue: one at a time, few that wait, and nothing that nobody waits for."""

import asyncio
import json
import threading

import pytest

from saetask.explore.config import ExploreConfig
from saetask.explore.model_queue import (
    AbandonedError,
    ModelQueue,
    QueueFullError,
    TookTooLongError,
)
from saetask.explore.model_thread import ModelThread
from saetask.explore.security import Access, Guard
from tests.helpers.planted_explorer import PlantedReader

LONGEST = 30
"""Seconds that a test waits for what should come at once."""


@pytest.fixture
def busy():
    """A queue whose thread is held until an event is set."""
    queue, free = ModelQueue(), threading.Event()
    queue.start(free.wait)
    yield queue, free
    free.set()
    queue.close()


async def results(queue, *functions):
    return await asyncio.gather(*map(queue.run, functions), return_exceptions=True)


def test_it_runs_one_at_a_time_and_holds_few() -> None:
    inside, most, lock = 0, 0, threading.Lock()

    def work():
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        threading.Event().wait(0.02)
        with lock:
            inside -= 1

    queue = ModelQueue(most_waiting=3)
    found = asyncio.run(results(queue, *[work] * 6))
    assert most == 1
    assert sum(isinstance(result, QueueFullError) for result in found) == 3
    assert asyncio.run(results(queue, lambda: 7)) == [7]  # it has room again
    queue.close()


def test_a_long_computation_is_not_waited_for() -> None:
    end = threading.Event()
    queue = ModelQueue(longest=0.05)
    (result,) = asyncio.run(results(queue, end.wait))
    assert isinstance(result, TookTooLongError)
    end.set()
    queue.close()


def test_what_nobody_waits_for_is_not_begun(busy) -> None:
    queue, free = busy
    begun = []

    async def gone():
        await asyncio.sleep(0.02)

    async def asked():
        abandoned = queue.run(lambda: begun.append("abandoned"), gone())
        kept = queue.run(lambda: begun.append("kept"), asyncio.sleep(LONGEST))
        kept = asyncio.ensure_future(kept)
        with pytest.raises(AbandonedError):
            await abandoned
        free.set()
        await asyncio.wait_for(kept, LONGEST)

    asyncio.run(asked())
    assert begun == ["kept"]


def test_what_was_given_up_makes_room() -> None:
    queue, free = ModelQueue(most_waiting=1), threading.Event()
    queue.start(free.wait)

    async def gone():
        return

    async def asked():
        for _ in range(3):
            with pytest.raises(AbandonedError):
                await queue.run(lambda: None, gone())

    asyncio.run(asked())
    free.set()
    queue.close()


@pytest.mark.parametrize("name", ["read", "detect", "ask", "steer", "compare"])
def test_a_client_that_has_gone_is_not_computed_for(folder, monkeypatch, busy, name) -> None:
    from tests.helpers.planted_explorer import planted_app

    queue, free = busy
    begun = []
    for method in ("read", "detect", "ask", "steer", "compare"):
        monkeypatch.setattr(
            PlantedReader, method, lambda self, request, method=method: begun.append(method)
        )
    app = Guard(planted_app(folder, queue), Access("127.0.0.1", 8765))
    note = {"text": "n", "placement": "end"}
    bodies = {
        "read": {"text": "a"},
        "detect": {"task": "metaphor", "text": "a"},
        "ask": {"task": "metaphor", "text": "a", "note": note},
        "steer": {"text": "a", "steer": ["feature:1"]},
        "compare": {"first": ["a"], "second": ["b"]},
    }

    async def request(path: str, body: dict, leaves: bool) -> int:
        messages = [{"type": "http.request", "body": json.dumps(body).encode()}]
        sent = []

        async def receive():
            if messages:
                return messages.pop()
            await asyncio.sleep(0.02 if leaves else LONGEST)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        headers = [(b"host", b"127.0.0.1:8765"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
        await app({**scope, "query_string": b"", "raw_path": path.encode()}, receive, send)
        return sent[0]["status"]

    async def asked():
        stays = asyncio.ensure_future(request("/api/read", bodies["read"], leaves=False))
        assert await request(f"/api/{name}", bodies[name], leaves=True) == 499
        free.set()
        assert await asyncio.wait_for(stays, LONGEST) == 200

    asyncio.run(asked())
    assert begun == ["read"]  # of the one who stayed


def test_a_model_that_is_loaded_when_all_is_closed_is_not_complained_about(capsys) -> None:
    queue, begun, closed = ModelQueue(), threading.Event(), threading.Event()

    def load():
        begun.set()
        closed.wait()
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    model = ModelThread(ExploreConfig(), load, queue)  # pyright: ignore[reportArgumentType]
    begun.wait()
    queue.close()
    closed.set()
    queue._executor.shutdown(wait=True)
    assert capsys.readouterr().err == "" and model.status()["problem"] is None
