"""Notes written by a language model: generated in batches, kept, then placed like any other note.

Arms write their prompts one by one, but a language model answers many requests faster together: so
`generate_notes` is called for a whole arm before its prompts are written.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from saetask.annotation.base import Annotation, Annotator, WritingAnnotator
from saetask.data.prompts import as_prompt
from saetask.detection.base import Misunderstanding
from saetask.inference.client import GenerateRequest, ModelClient
from saetask.inference.endpoint import Endpoint, EndpointError
from saetask.utils.files import content_hash
from saetask.utils.parallel import map_ordered
from saetask.utils.progress import stage

NOTE_TOKENS = 40
"""Maximum length of a reply of the model under test."""
WORKERS = 8
"""Concurrent requests to an endpoint."""


class NoteSubject(NamedTuple):
    """Subject of a generated note."""

    misunderstanding: Misunderstanding
    labels: Mapping[int, str]
    """Labels of features that the note may quote."""


class GeneratedNotes:
    """An annotator whose notes a language model writes; equal requests are sent once.

    Replies are stored with the run's answers. A request that failed is not sent again by the same
    process, so that all arms get the same note; the next run sends it again.
    """

    def __init__(self, writer: WritingAnnotator, client: ModelClient) -> None:
        """Wraps a plugin; the client runs the model under test and stores all replies."""
        self.name = writer.name
        self.failed: set[str] = set()
        """Requests that the endpoint did not answer."""
        self._writer = writer
        self._client = client

    def generate(self, subjects: Iterable[NoteSubject]) -> None:
        """Sends the requests for these notes that have no reply yet.

        Raises:
            UserError: The endpoint can not be reached; the replies that came are kept.
        """
        requests = list(dict.fromkeys(self._writer.request(*subject) for subject in subjects))
        endpoint, title = self._writer.endpoint, f"notes: {self.name}"
        if endpoint is None:
            self._client.generate([_own_request(request) for request in requests], title)
            return
        new = [
            request
            for request in requests
            if request not in self.failed and self._reply(endpoint, request) is None
        ]
        self._send(endpoint, new, title)

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns the notes made of the reply; none where the request failed."""
        subject = NoteSubject(misunderstanding, labels)
        self.generate([subject])
        request, endpoint = self._writer.request(*subject), self._writer.endpoint
        if endpoint is None:
            (reply,) = self._client.generate([_own_request(request)])
            return self._writer.annotations(reply)
        reply = self._reply(endpoint, request)
        return [] if reply is None else self._writer.annotations(reply)

    def _reply(self, endpoint: Endpoint, request: str) -> str | None:
        return self._client.stored_reply(_key(endpoint, request))

    def _send(self, endpoint: Endpoint, requests: Sequence[str], title: str) -> None:
        sent = map_ordered(partial(self._send_one, endpoint), requests, WORKERS)
        with stage(title, len(requests)) as advance:
            for _ in sent:
                advance(1)

    def _send_one(self, endpoint: Endpoint, request: str) -> None:
        """Sends one request and stores the reply at once, so that a later failure costs nothing."""
        try:
            reply = endpoint.ask([{"role": "user", "content": request}])
        except EndpointError:
            self.failed.add(request)
        else:
            self._client.store({_key(endpoint, request): reply.text})


def with_generated_notes(annotator: Annotator | WritingAnnotator, client: ModelClient) -> Annotator:
    """Returns an annotator, wrapped in `GeneratedNotes` if a language model writes its notes."""
    if isinstance(annotator, WritingAnnotator):
        return GeneratedNotes(annotator, client)
    return annotator


def generate_notes(annotator: Annotator, subjects: Iterable[NoteSubject]) -> None:
    """Generates all the notes that are about to be written, if a language model writes them.

    Raises:
        UserError: The endpoint can not be reached.
    """
    if isinstance(annotator, GeneratedNotes):
        annotator.generate(subjects)


def count_failed(annotators: Sequence[Annotator]) -> int:
    """Returns how many requests for a note failed."""
    return sum(len(a.failed) for a in annotators if isinstance(a, GeneratedNotes))


def _own_request(request: str) -> GenerateRequest:
    return GenerateRequest(as_prompt(request), NOTE_TOKENS)


def _key(endpoint: Endpoint, request: str) -> str:
    return content_hash([endpoint.model, endpoint.base_url, request])
