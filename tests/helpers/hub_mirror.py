"""Repositories of the Hugging Face hub on this machine: in a hub cache, or behind a local server.

Nothing of them comes from the hub: the files are made up, the layout is the hub's.
"""

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0" * 40


def add_to_cache(cache: Path, repository: str, folder: Path) -> None:
    """Copies a folder into a hub cache, as the newest commit of a repository."""
    root = cache / f"models--{repository.replace('/', '--')}"
    shutil.copytree(folder, root / "snapshots" / COMMIT)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(COMMIT)


class _Repositories(BaseHTTPRequestHandler):
    """Answers what the hub answers to a download: commits, and files by `resolve/REVISION/PATH`."""

    folders: Mapping[str, Path]
    requests: list[str]

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Prints nothing."""

    def _answer(self) -> None:
        self.requests.append(f"{self.command} {self.path}")
        owner, name, *rest = [*self.path.partition("?")[0].strip("/").split("/"), "", ""]
        is_api = (owner, name) == ("api", "models")
        if is_api:
            owner, name, *rest = rest
        repository, folder = f"{owner}/{name}", self.folders.get(f"{owner}/{name}")
        path = (folder or Path("/")).joinpath(*rest[2:])  # of resolve/REVISION/PATH
        if folder is None:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif is_api and rest[0] in ("", "revision"):
            self._send(200, json.dumps({"id": repository, "sha": COMMIT}).encode())
        elif is_api or not path.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            etag = hashlib.sha256(path.read_bytes()).hexdigest()
            self._send(200, path.read_bytes(), {"ETag": f'"{etag}"'})

    def _send(self, status: int, content: bytes, headers: Mapping[str, str] = {}) -> None:
        self.send_response(status)
        for key, value in {
            "X-Repo-Commit": COMMIT,
            "Content-Length": str(len(content)),
            **headers,
        }.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@contextmanager
def serve(folders: Mapping[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """Serves folders as repositories of a hub, by `owner/name`.

    Yields:
        What `HF_ENDPOINT` is to be, and the requests so far, as "METHOD path".
    """
    requests: list[str] = []
    handler = type("Handler", (_Repositories,), {"folders": folders, "requests": requests})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
