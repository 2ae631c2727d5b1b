"""Who may speak to the explorer: checks of each request, and headers of each response.

The server holds a model and writes a file, and a browser lets every page that a person has open
send requests to it. So requests must be addressed to this server by name (against DNS rebinding),
come from its own page (against cross-site requests), be small, and, where the server listens on
more than this machine, carry its token.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from saetask.errors import UserError
from saetask.utils.files import json_text

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY_ADDRESS = ("0.0.0.0", "::")
LARGEST_BODY = 64 * 1024
"""Bytes of a request's body."""
SHORTEST_TOKEN = 16
COOKIE = "saetask-token"
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


SLOWEST_BODY = 10.0
"""Seconds in which a request's body must have come."""


class Problem(NamedTuple):
    """Why a request is refused."""

    status: int
    line: str


NOT_OURS = Problem(421, "This address is not the explorer's.")
OTHER_SITE = Problem(403, "The request comes from another site.")
OTHER_METHOD = Problem(405, "Only GET and POST are answered.")
NO_JSON = Problem(415, "A request's body must be application/json.")
TOO_LARGE = Problem(413, f"A request may have {LARGEST_BODY:,} bytes.")
TOO_SLOW = Problem(408, "The request's body did not come in time.")
NO_TOKEN = Problem(401, "The explorer was started with a token; open the address that it printed.")


@dataclass(frozen=True)
class Access:
    """Where the server listens, and who may speak to it."""

    host: str
    port: int
    token: str | None = None
    """What every request must carry; None asks for none, on this machine alone."""

    def check(self) -> None:
        """Refuses an address beyond this machine without a token, and a token that is short.

        Raises:
            UserError: One of both.
        """
        if self.host not in LOOPBACK and self.token is None:
            raise UserError(
                f"--host {self.host} opens the explorer to other machines; give --token TEXT as "
                "well, which every reader then needs, or leave --host out."
            )
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            raise UserError(f"--token must have {SHORTEST_TOKEN} characters or more.")

    @property
    def address(self) -> str:
        """The address of the page."""
        shown = "127.0.0.1" if self.host in ANY_ADDRESS else self.host
        host = f"[{shown}]" if ":" in shown else shown
        query = f"/?token={self.token}" if self.token else "/"
        return f"http://{host}:{self.port}{query}"

    def allows_host(self, value: str) -> bool:
        """Returns whether a request's Host names this server."""
        name, _, port = value.rpartition(":")
        if not port.isdigit() or value.endswith("]"):
            name, port = value, "80"
        if int(port) != self.port:
            return False
        # Where it listens on every address, its names are unknown; the token then protects it.
        return self.host in ANY_ADDRESS or name.strip("[]") in {*LOOPBACK, self.host}


class Guard:
    """Wraps an ASGI application: refuses what is not for it, and adds headers to what is."""

    def __init__(self, application: Application, access: Access) -> None:
        self._application, self._access = application, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request; connections other than HTTP are refused."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        send = _with_headers(send)
        headers = _single_headers(scope["headers"])
        problem = self._problem(scope, headers)
        if problem is not None:
            await _respond(send, *problem)
        elif (entered := self._entering(scope)) is not None:
            await _respond(send, 303, "", {"location": "/", "set-cookie": entered})
        else:
            await self._bounded(scope, receive, send)

    def _problem(self, scope: Scope, headers: Mapping[str, str] | None) -> Problem | None:
        """Returns why a request is refused; None for one that is not."""
        if headers is None:
            return Problem(400, "A header is given twice.")
        host, origin = headers.get("host", ""), headers.get("origin")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        length = headers.get("content-length", "0")
        checks = (
            (self._access.allows_host(host), NOT_OURS),
            (origin is None or origin in (f"http://{host}", f"https://{host}"), OTHER_SITE),
            (headers.get("sec-fetch-site", "none") in ("same-origin", "none"), OTHER_SITE),
            (scope["method"] in ("GET", "HEAD", "POST"), OTHER_METHOD),
            (scope["method"] != "POST" or kind == "application/json", NO_JSON),
            (length.isascii() and length.isdigit() and int(length) <= LARGEST_BODY, TOO_LARGE),
            (self._knows_token(scope, headers), NO_TOKEN),
        )
        return next((problem for holds, problem in checks if not holds), None)

    def _knows_token(self, scope: Scope, headers: Mapping[str, str]) -> bool:
        if self._access.token is None:
            return True
        given = [headers.get("authorization", "").removeprefix("Bearer "), _cookie(headers)]
        if scope["method"] == "GET" and scope["path"] == "/":
            given.append(_query_token(scope))
        expected = self._access.token.encode()
        return any(hmac.compare_digest(each.encode(), expected) for each in given)

    def _entering(self, scope: Scope) -> str | None:
        """Returns the cookie for a reader who comes with the token in the address."""
        if self._access.token is None or scope["path"] != "/" or not _query_token(scope):
            return None
        cookie: SimpleCookie = SimpleCookie()
        cookie[COOKIE] = self._access.token
        for name, value in (("path", "/"), ("httponly", "true"), ("samesite", "Strict")):
            cookie[COOKIE][name] = value
        return cookie[COOKIE].OutputString()

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on once its body is there, which must be small and come in time."""
        try:
            body = await asyncio.wait_for(_body(scope, receive), SLOWEST_BODY)
        except TimeoutError:
            await _respond(send, *TOO_SLOW)
            return
        if body is None:
            await _respond(send, *TOO_LARGE)
            return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def received() -> Message:
            return messages.pop() if messages else await receive()

        await self._application(scope, received, send)


async def _body(scope: Scope, receive: Receive) -> bytes | None:
    """Returns the body of a request; None where it is too large."""
    body, more = b"", scope["method"] == "POST"
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
        if len(body) > LARGEST_BODY:
            return None
    return body


def _single_headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str] | None:
    """Returns the headers by name; None where one that is checked here is given twice."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        key = name.decode("latin-1").lower()
        if key in headers and key in ("host", "origin", "content-length", "content-type"):
            return None
        headers[key] = value.decode("latin-1")
    return headers


def _cookie(headers: Mapping[str, str]) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _query_token(scope: Scope) -> str:
    return parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(k, v) for k, v in message["headers"] if k.decode().lower() not in HEADERS]
            added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message["headers"] = [*kept, *added]
        await send(message)

    return sending


async def _respond(
    send: Send, status: int, problem: str, headers: Mapping[str, str] | None = None
) -> None:
    body = json_text({"problem": problem}).encode()
    given = {"content-type": "application/json", **(headers or {})}
    pairs = [(name.encode(), value.encode()) for name, value in given.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
