"""A chat-completions endpoint of the tests' own, answering as told."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Said(NamedTuple):
    """What the endpoint says to a request."""

    body: Any
    """Text of the answer, or with another status than 200 anything."""
    status: int = 200
    delay: float = 0.0
    raw: bool = False
    """Send the body itself, not as an answer."""


class ChatServer:
    """Where the endpoint is, and what it was asked."""

    prompt_tokens, completion_tokens = 7, 3

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []

    def prompts(self) -> list[str]:
        """Returns the last message of each request."""
        return [request["messages"][-1]["content"] for request in self.requests]


@contextmanager
def chat_server(answer: Callable[[dict[str, Any]], Said | str]) -> Iterator[ChatServer]:
    """Serves until the block ends; `answer` gets each request and may be called by threads."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.requests.append(request)
            server.keys.append(self.headers["Authorization"])
            said = answer(request)
            said = Said(said) if isinstance(said, str) else said
            time.sleep(said.delay)
            body = said.body if said.raw else json.dumps(_document(request, said)).encode()
            self.send_response(said.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("retry-after-ms", "1")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    listening.handle_error = lambda request, client_address: None  # who stopped waiting hung up
    server = ChatServer(f"http://127.0.0.1:{listening.server_port}/v1")
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()


def _document(request: dict[str, Any], said: Said) -> dict[str, Any]:
    if said.status != 200:
        return {"error": {"message": said.body, "type": "test", "code": None, "param": None}}
    message = {"role": "assistant", "content": said.body}
    prompt, completion = ChatServer.prompt_tokens, ChatServer.completion_tokens
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 0,
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }
