"""Notes in a language model's own words: requested many at a time, kept, then given out singly.

The prompts of an arm are written one by one, but a language model is quicker with many requests at
once. So whoever is about to write says so first (`ask_ahead`); for annotators that need no language
model this does nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from saetask.annotation.base import Annotation, Annotator, WritingAnnotator
from saetask.data.prompts import as_prompt
from saetask.detection.base import Misunderstanding
from saetask.inference.client import Ask, Asker
from saetask.inference.endpoint import Endpoint, EndpointError
from saetask.utils.files import content_hash
from saetask.utils.parallel import map_ordered

NOTE_TOKENS = 40
"""Length of a reply of the model under test, at most."""
WORKERS = 8
"""Requests to an endpoint at a time."""


class Noted(NamedTuple):
    """A finding that is to be written into a prompt."""

    misunderstanding: Misunderstanding
    labels: Mapping[int, str]
    """What the note may say of features."""


class WrittenNotes:
    """An annotator whose notes a language model writes; no request is put twice.

    Replies are kept among the run's answers. A request that failed is not put again by the same
    process, so that all arms see the same; the next run puts it again.
    """

    def __init__(self, writer: WritingAnnotator, asker: Asker) -> None:
        """Takes the plugin, and who asks the model under test and keeps replies."""
        self.name = writer.name
        self.failed: set[str] = set()
        """Requests that the endpoint did not answer."""
        self._writer = writer
        self._asker = asker

    def ask(self, findings: Iterable[Noted]) -> None:
        """Puts the requests that these findings need and that have no reply yet.

        Raises:
            UserError: The endpoint can not be reached; the replies that came are kept.
        """
        requests = list(dict.fromkeys(self._writer.request(*found) for found in findings))
        endpoint, title = self._writer.endpoint, f"notes: {self.name}"
        if endpoint is None:
            self._asker.ask([_own_ask(request) for request in requests], title)
            return
        new = [
            request
            for request in requests
            if request not in self.failed and self._reply(endpoint, request) is None
        ]
        self._ask_endpoint(endpoint, new, title)

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns what became of the reply; no notes where the request failed."""
        found = Noted(misunderstanding, labels)
        self.ask([found])
        request, endpoint = self._writer.request(*found), self._writer.endpoint
        if endpoint is None:
            return self._writer.annotations(self._asker.output(_own_ask(request)))
        reply = self._reply(endpoint, request)
        return [] if reply is None else self._writer.annotations(reply)

    def _reply(self, endpoint: Endpoint, request: str) -> str | None:
        return self._asker.reply(_key(endpoint, request))

    def _ask_endpoint(self, endpoint: Endpoint, requests: Sequence[str], title: str) -> None:
        from tqdm import tqdm

        put = map_ordered(partial(self._put, endpoint), requests, WORKERS)
        for _ in tqdm(put, desc=title, total=len(requests), disable=len(requests) < 2):
            pass

    def _put(self, endpoint: Endpoint, request: str) -> None:
        """Puts one request, and keeps the reply at once: a later failure must not cost it."""
        try:
            reply = endpoint.ask([{"role": "user", "content": request}])
        except EndpointError:
            self.failed.add(request)
        else:
            self._asker.keep({_key(endpoint, request): reply.text})


def noting(annotator: Annotator | WritingAnnotator, asker: Asker) -> Annotator:
    """Returns an annotator plugin as one that has its notes at hand, whoever writes them."""
    return WrittenNotes(annotator, asker) if isinstance(annotator, WritingAnnotator) else annotator


def ask_ahead(annotator: Annotator, findings: Iterable[Noted]) -> None:
    """Requests all the notes that are about to be written, if a language model writes them.

    Raises:
        UserError: The endpoint can not be reached.
    """
    if isinstance(annotator, WrittenNotes):
        annotator.ask(findings)


def count_failed(annotators: Sequence[Annotator]) -> int:
    """Returns how many requests for a note were put in vain."""
    return sum(len(a.failed) for a in annotators if isinstance(a, WrittenNotes))


def _own_ask(request: str) -> Ask:
    return Ask(as_prompt(request), max_new_tokens=NOTE_TOKENS)


def _key(endpoint: Endpoint, request: str) -> str:
    return content_hash([endpoint.model, endpoint.base_url, request])
