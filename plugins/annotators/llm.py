"""Notes in the words of a language model behind an endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from saetask.annotation import Annotation
from saetask.detection import Misunderstanding
from saetask.inference import Endpoint

from .note_request import note_request, notes_of


@dataclass(frozen=True)
class LLMOptions:
    """Options of the language model that writes the notes."""

    model: Annotated[str, Field(min_length=1)]
    """The model's name at the endpoint."""
    base_url: str | None = None
    """The endpoint's address; else $OPENAI_BASE_URL, else OpenAI's own."""


@dataclass(frozen=True)
class LLM:
    """Has a language model at any OpenAI-compatible endpoint write the note."""

    endpoint: Endpoint | None = None
    name: ClassVar[str] = "llm"
    options_type: ClassVar[type] = LLMOptions

    def configure(self, options: LLMOptions) -> "LLM":
        """Returns the annotator for one model; its key comes from `$OPENAI_API_KEY` alone.

        Raises:
            UserError: The endpoint can not be asked.
        """
        return LLM(Endpoint(options.model, options.base_url))

    def request(self, misunderstanding: Misunderstanding, labels: Mapping[int, str]) -> str:
        """Returns the request to the language model."""
        return note_request(misunderstanding, labels)

    def annotations(self, text: str) -> list[Annotation]:
        """Returns the first sentence of the reply, at each placement."""
        return notes_of(text, self.name)
