"""Notes written by a language model: generated in batches, kept, then placed like any other note.

Arms write their prompts one by one, but a language model answers many requests faster together: so
`generate_notes` is called for a whole arm before its prompts are written.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from saetask.annotation.base import Annotation, Annotator, WritingAnnotator
from saetask.data.prompts import as_prompt
from saetask.detection.base import Misunderstanding
from saetask.inference.client import ModelClient
from saetask.inference.endpoint import Endpoint, EndpointError
from saetask.inference.requests import GenerateRequest
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


class EndpointReplies:
    """Replies of a language model at an endpoint; equal requests are sent once.

    Replies are stored with the run's answers. A request that failed is not sent again by the same
    process, so that all arms get the same note; the next run sends it again.
    """

    def __init__(self, endpoint: Endpoint, client: ModelClient) -> None:
        """Takes the language model, and the client that stores all replies."""
        self.failed: set[str] = set()
        """Requests that the endpoint did not answer."""
        self._endpoint = endpoint
        self._client = client

    def fetch(self, requests: Iterable[str], title: str) -> None:
        """Sends the requests that have no reply yet.

        Raises:
            UserError: The endpoint can not be reached; the replies that came are kept.
        """
        new = [
            request
            for request in dict.fromkeys(requests)
            if request not in self.failed and self.reply(request) is None
        ]
        sent = map_ordered(self._send, new, WORKERS)
        with stage(title, len(new)) as advance:
            for _ in sent:
                advance(1)

    def reply(self, request: str) -> str | None:
        """Returns the reply to a request; None if there is none."""
        return self._client.stored_reply(self._key(request))

    def _send(self, request: str) -> None:
        """Sends one request and stores the reply at once, so that a later failure costs nothing."""
        try:
            reply = self._endpoint.ask([{"role": "user", "content": request}])
        except EndpointError:
            self.failed.add(request)
        else:
            self._client.store({self._key(request): reply.text})

    def _key(self, request: str) -> str:
        return content_hash([self._endpoint.model, self._endpoint.base_url, request])


class GeneratedNotes:
    """An annotator whose notes a language model writes; equal requests are sent once.

    The model is the one under test, or one at an endpoint; see `EndpointReplies`.
    """

    def __init__(self, writer: WritingAnnotator, client: ModelClient) -> None:
        """Wraps a plugin; the client runs the model under test and stores all replies."""
        self.name = writer.name
        endpoint = writer.endpoint
        self.replies = None if endpoint is None else EndpointReplies(endpoint, client)
        """Those of the endpoint; None where the model under test writes."""
        self._writer = writer
        self._client = client

    def generate(self, subjects: Iterable[NoteSubject]) -> None:
        """Sends the requests for these notes that have no reply yet.

        Raises:
            UserError: The endpoint can not be reached; the replies that came are kept.
        """
        requests = list(dict.fromkeys(self._writer.request(*subject) for subject in subjects))
        title = f"notes: {self.name}"
        if self.replies is None:
            self._client.generate([_own_request(request) for request in requests], title)
        else:
            self.replies.fetch(requests, title)

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns the notes made of the reply; none where the request failed."""
        subject = NoteSubject(misunderstanding, labels)
        self.generate([subject])
        request = self._writer.request(*subject)
        if self.replies is None:
            (reply,) = self._client.generate([_own_request(request)])
        else:
            reply = self.replies.reply(request)
        return [] if reply is None else self._writer.annotations(reply)


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


def count_failed(annotators: Sequence[Annotator], *others: EndpointReplies | None) -> int:
    """Returns how many requests for a note failed, of annotators and of other writers."""
    replies = [a.replies for a in annotators if isinstance(a, GeneratedNotes)]
    return sum(len(each.failed) for each in (*replies, *others) if each is not None)


def _own_request(request: str) -> GenerateRequest:
    return GenerateRequest(as_prompt(request), NOTE_TOKENS)
