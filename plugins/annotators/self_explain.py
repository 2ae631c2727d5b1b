"""Notes in the words of the model under test."""

from collections.abc import Mapping

from saetask.annotation import Annotation
from saetask.detection import Misunderstanding

from .note_request import note_request, notes_of


class SelfExplain:
    """Has the model itself write the note, from the reading and the labels of features."""

    name = "self-explain"
    endpoint = None

    def request(self, misunderstanding: Misunderstanding, labels: Mapping[int, str]) -> str:
        """Returns the request to the model."""
        return note_request(misunderstanding, labels)

    def annotations(self, text: str) -> list[Annotation]:
        """Returns the first sentence of what it wrote, at each placement."""
        return notes_of(text, self.name)
