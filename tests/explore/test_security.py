"""Only the explorer's own page is answered, and its policy lets nothing else run."""

import asyncio

import pytest
from fastapi.testclient import TestClient

from saetask.explore import security
from saetask.explore.security import COOKIE, LARGEST_BODY, Access, Guard
from tests.explore.conftest import ADDRESS
from tests.helpers.refusals import refusal

TOKEN = "a-token-of-some-length"
READ = {"text": "She ate."}


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1:8765", True),
        ("localhost:8765", True),
        ("[::1]:8765", True),
        ("127.0.0.1:8766", False),
        ("127.0.0.1", False),
        ("evil.example:8765", False),
        ("127.0.0.1.evil.example:8765", False),
        ("", False),
        (":8765", False),
        ("localhost:8765:8765", False),
    ],
)
def test_only_the_names_of_this_machine_are_answered(client, host, is_ours) -> None:
    response = client.get("/api/status", headers={"host": host})
    assert response.status_code == (200 if is_ours else 421)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_requests_of_other_sites_are_refused(client, headers) -> None:
    for response in (
        client.get("/api/status", headers=headers),
        client.post("/api/read", json=READ, headers=headers),
    ):
        assert response.status_code == 403
        assert "problem" in response.json()


def test_the_page_itself_is_answered(client) -> None:
    headers = {"origin": ADDRESS, "sec-fetch-site": "same-origin"}
    assert client.post("/api/read", json=READ, headers=headers).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_form_can_not_post(client, kind) -> None:
    response = client.post("/api/read", content="{}", headers={"content-type": kind})
    assert response.status_code == 415


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(client, method) -> None:
    assert client.request(method, "/api/status").status_code == 405


def test_large_bodies_are_refused_with_and_without_a_length(client) -> None:
    kind = {"content-type": "application/json"}
    large = b"x" * (LARGEST_BODY + 1)
    assert client.post("/api/read", content=large, headers=kind).status_code == 413
    pieces = (b"x" * 4096 for _ in range(LARGEST_BODY // 4096 + 1))
    assert client.post("/api/read", content=pieces, headers=kind).status_code == 413
    wrong = {**kind, "content-length": "-1"}
    assert client.post("/api/read", content=b"{}", headers=wrong).status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for(app, monkeypatch) -> None:
    monkeypatch.setattr(security, "SLOWEST_BODY", 0.05)
    sent = []

    async def never():
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"127.0.0.1:8765"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/api/read", "headers": headers}
    asyncio.run(Guard(app, Access("127.0.0.1", 8765))(scope, never, send))
    assert sent[0]["status"] == 408


@pytest.mark.parametrize("path", ["/", "/app/app.js", "/views/tokens.js", "/api/status", "/none"])
def test_every_response_forbids_what_the_page_does_not_need(client, path) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy and "*" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/app/../app.py", "/views/..%2f..%2fpyproject.toml", "/app/%00"])
def test_no_other_file_is_served(client, path) -> None:
    assert client.get(path).status_code == 404


def test_another_address_needs_a_token_and_a_long_one() -> None:
    assert "--token" in refusal(Access("0.0.0.0", 1).check)
    assert "16 characters" in refusal(Access("127.0.0.1", 1, "short").check)
    Access("0.0.0.0", 1, TOKEN).check()
    Access("::1", 1).check()


def test_with_a_token_nothing_is_answered_without_it(app) -> None:
    client = TestClient(
        Guard(app, Access("127.0.0.1", 8765, TOKEN)), base_url=ADDRESS, follow_redirects=False
    )
    for path in ("/", "/app/app.js", "/api/status", "/?token=wrong", f"/api/status?token={TOKEN}"):
        assert client.get(path).status_code == 401
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert client.get("/api/status", headers=bearer).status_code == 200
    entered = client.get(f"/?token={TOKEN}")
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert "HttpOnly" in entered.headers["set-cookie"]
    assert "SameSite=Strict" in entered.headers["set-cookie"]
    assert client.cookies[COOKIE] == TOKEN
    assert client.get("/api/status").status_code == 200


def test_where_it_listens_everywhere_the_page_may_have_any_name(app) -> None:
    client = TestClient(Guard(app, Access("0.0.0.0", 8765, TOKEN)), base_url="http://box:8765")
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert client.get("/api/status", headers=bearer).status_code == 200
    other = {**bearer, "origin": "http://evil.example"}
    assert client.get("/api/status", headers=other).status_code == 403
