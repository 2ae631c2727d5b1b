"""Repositories of the Hugging Face hub on this machine: in a hub cache, or behind a local server.

Nothing of them comes from the hub: the files are made up, the layout is the hub's.
"""

import hashlib
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
    """Answers `/owner/name/resolve/main/path` as the hub does."""

    folders: Mapping[str, Path]
    requests: list[str]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_: object) -> None:
        """Prints nothing."""

    def _answer(self, with_body: bool) -> None:
        self.requests.append(f"{self.command} {self.path}")
        owner_and_name, _, rest = self.path.strip("/").partition("/resolve/")
        path = self.folders.get(owner_and_name, Path("/")) / rest.partition("/")[2].split("?")[0]
        if owner_and_name not in self.folders or not path.is_file():
            self.send_response(404)
            kind = "EntryNotFound" if owner_and_name in self.folders else "RepoNotFound"
            self.send_header("X-Error-Code", kind)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = path.read_bytes()
        etag = hashlib.sha256(content).hexdigest()
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
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
