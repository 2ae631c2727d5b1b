"""The explorer's application: its page, its views, and what they ask for as JSON."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from saetask.errors import UserError
from saetask.explore.dictionary_shelf import SORTS, DictionaryShelf
from saetask.explore.folders import RunShelf
from saetask.explore.model_queue import AbandonedError, QueueFullError, TookTooLongError
from saetask.explore.model_thread import ModelThread
from saetask.explore.prompt_reader import PromptReader
from saetask.explore.requests import (
    AskRequest,
    CompareRequest,
    DetectRequest,
    ReadRequest,
    SteerRequest,
    VerdictRequest,
)
from saetask.report.view_modules import view_files
from saetask.utils.files import json_text
from saetask.utils.validation import first_problem, plain_problem

T = TypeVar("T")
CLIENT_GONE = 499
"""Status of an answer that nobody receives, as nginx logs it."""
LARGEST_PAGE = 100
"""Rows of a page of a list."""
Words = Annotated[str, Query(max_length=200)]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE)]
KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
"""Media types by the end of a file's name."""


@dataclass(frozen=True)
class Shelves:
    """What is browsed; None where it was not given."""

    dictionary: DictionaryShelf | None = None
    run: RunShelf | None = None
    discovery: Mapping[str, Any] | None = None


class Json(JSONResponse):
    """JSON without NaN, and with half surrogate pairs of a model's output as escapes."""

    def render(self, content: Any) -> bytes:
        """Returns the document as bytes."""
        return json_text(content, ascii_only=True).encode()


def make_app(shelves: Shelves, model: ModelThread) -> FastAPI:
    """Returns the application; `saetask.explore.security.Guard` is to be put around it."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, default_response_class=Json)
    _add_files(app)
    _add_errors(app)
    _add_status(app, shelves, model)
    _add_reading(app, model)
    _add_folders(app, shelves)
    _add_dictionary(app, shelves)
    return app


def _add_files(app: FastAPI) -> None:
    """Serves the page, its scripts and the views, all read when the server starts."""
    folder = files("saetask.explore") / "page"
    own = {f"/app/{each.name}": each.read_bytes() for each in folder.iterdir() if each.is_file()}
    views = {f"/views/{name}": text.encode() for name, text in view_files().items()}
    paths = {**own, **views}
    paths["/"] = paths["/app/index.html"]

    def serve(content: bytes, kind: str) -> Response:
        return Response(content, media_type=kind)

    for path, content in paths.items():
        kind = KINDS[path.rpartition(".")[2]] if path != "/" else KINDS["html"]
        handler = partial(serve, content, kind)
        app.add_api_route(path, handler, include_in_schema=False, response_class=Response)


def _add_errors(app: FastAPI) -> None:
    """Answers errors with one line each, under the key `problem`."""

    def problem(status: int, line: str) -> Json:
        return Json({"problem": line}, status)

    @app.exception_handler(UserError)
    async def _(_: Request, error: UserError) -> Json:
        return problem(422, str(error))

    @app.exception_handler(RequestValidationError)
    async def _(_: Request, error: RequestValidationError) -> Json:
        first = error.errors()[0]
        inside = {**first, "loc": first["loc"][1:]}  # without "body" or "query"
        return problem(422, plain_problem(inside).line)

    @app.exception_handler(ValidationError)
    async def _(_: Request, error: ValidationError) -> Json:
        return problem(422, first_problem(error).line)

    @app.exception_handler(QueueFullError)
    async def _(_: Request, error: QueueFullError) -> Json:
        return problem(503, "The model is busy with other requests; ask again in a moment.")

    @app.exception_handler(TookTooLongError)
    async def _(_: Request, error: TookTooLongError) -> Json:
        return problem(504, "The model is still at it; ask the same again in a while.")

    @app.exception_handler(AbandonedError)
    async def _(_: Request, error: AbandonedError) -> Json:
        return problem(CLIENT_GONE, "Nobody waits for this any more.")


def _add_status(app: FastAPI, shelves: Shelves, model: ModelThread) -> None:
    @app.get("/api/status")
    async def status() -> Any:
        dictionary = shelves.dictionary and shelves.dictionary.dictionary
        return {
            **model.status(),
            "dictionary": None
            if dictionary is None
            else {
                "name": dictionary.folder.name,
                "n_features": len(dictionary),
                "n_concepts": len(dictionary.concepts()),
            },
            "run": shelves.run is not None,
            "discovery": shelves.discovery is not None,
        }


def _add_reading(app: FastAPI, model: ModelThread) -> None:
    async def run(connection: Request, function: Callable[[PromptReader], Any]) -> Any:
        return await model.run(function, _client_left(connection))

    @app.post("/api/read")
    async def read(request: ReadRequest, connection: Request) -> Any:
        return await run(connection, lambda reader: reader.read(request))

    @app.post("/api/detect")
    async def detect(request: DetectRequest, connection: Request) -> Any:
        return await run(connection, lambda reader: reader.detect(request))

    @app.post("/api/ask")
    async def ask(request: AskRequest, connection: Request) -> Any:
        return await run(connection, lambda reader: reader.ask(request))

    @app.post("/api/steer")
    async def steer(request: SteerRequest, connection: Request) -> Any:
        return await run(connection, lambda reader: reader.steer(request))

    @app.post("/api/compare")
    async def compare(request: CompareRequest, connection: Request) -> Any:
        return await run(connection, lambda reader: reader.compare(request))


async def _client_left(connection: Request) -> None:
    """Ends when the client of a request, whose body has been read, is no longer there.

    The page gives up what it asked for when the reader types on or goes elsewhere.
    """
    while (await connection.receive())["type"] != "http.disconnect":
        pass


def _add_folders(app: FastAPI, shelves: Shelves) -> None:
    @app.get("/api/run")
    def run() -> Any:
        return _given(shelves.run, "run").summary()

    @app.get("/api/run/items")
    def items(show: Words = "", words: Words = "", offset: Offset = 0, limit: Limit = 50) -> Any:
        return _given(shelves.run, "run").items(show, words, offset, limit)

    @app.get("/api/run/item")
    def item(name: Annotated[str, Query(max_length=1000)]) -> Any:
        return _given(shelves.run, "run").item(name)

    @app.get("/api/discovery")
    def discovery() -> Any:
        return _given(shelves.discovery, "discovery")


def _add_dictionary(app: FastAPI, shelves: Shelves) -> None:
    def shelf() -> DictionaryShelf:
        return _given(shelves.dictionary, "dictionary")

    @app.get("/api/features")
    def features(
        sort: Words = "number", verdict: Words = "", offset: Offset = 0, limit: Limit = 50
    ) -> Any:
        if sort not in SORTS:
            raise UserError(f"Features are sorted by {', '.join(SORTS)}, not by '{sort}'.")
        return shelf().features(sort, verdict, offset, limit)

    @app.get("/api/feature")
    def feature(number: Offset) -> Any:
        return shelf().feature(number)

    @app.get("/api/concepts")
    def concepts() -> Any:
        return shelf().concepts()

    @app.get("/api/concept")
    def concept(name: Words) -> Any:
        return shelf().concept(name)

    @app.get("/api/search")
    def search(words: Words, limit: Limit = 30) -> Any:
        return shelf().search(words, limit)

    @app.get("/api/verdicts")
    def verdicts() -> Any:
        return {"file": str(shelf().path), "verdicts": shelf().verdicts()}

    @app.post("/api/verdicts")
    def judge(request: VerdictRequest) -> Any:
        verdict = request.verdict_now()
        shelf().add(verdict)
        return verdict.to_dict()


def _given(shelf: T | None, name: str) -> T:
    if shelf is None:
        raise UserError(f"The explorer was started without a {name}; give --{name} DIR.")
    return shelf
