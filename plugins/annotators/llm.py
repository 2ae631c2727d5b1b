"""Notes in the words of a language model behind an endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from saetask import UserError
from saetask.annotation import Annotation
from saetask.detection import Misunderstanding
from saetask.inference import Endpoint

from .note_request import note_request, notes_of


@dataclass(frozen=True)
class LLM:
    """Has a language model at any OpenAI-compatible endpoint write the note."""

    endpoint: Endpoint | None = None
    name: ClassVar[str] = "llm"
    options: ClassVar[Mapping[str, str]] = {
        "model": "the model's name, as the endpoint knows it",
        "base_url": "the endpoint's address; else $OPENAI_BASE_URL, else OpenAI's own",
    }

    def configure(self, options: Mapping[str, str]) -> "LLM":
        """Returns the annotator for one model; its key comes from `$OPENAI_API_KEY` alone.

        Raises:
            UserError: No model is named, or the endpoint can not be asked.
        """
        model = options.get("model", "")
        if not model:
            raise UserError(
                "Annotator 'llm' needs the name of a model: add --annotator-option model=NAME."
            )
        return LLM(Endpoint(model, options.get("base_url")))

    def request(self, misunderstanding: Misunderstanding, labels: Mapping[int, str]) -> str:
        """Returns what the language model is told to write."""
        return note_request(misunderstanding, labels)

    def annotations(self, text: str) -> list[Annotation]:
        """Returns the first sentence of the reply, at each placement."""
        return notes_of(text, self.name)
