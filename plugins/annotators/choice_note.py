"""Notes that state which of the lettered choices is asked for."""

from collections.abc import Mapping

from saetask.annotation import Annotation
from saetask.detection import Misunderstanding


class ChoiceNote:
    """Names a choice by its letter, in a few wordings and places."""

    name = "choice-note"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns each wording at its place."""
        letter = misunderstanding.reading
        return [
            Annotation(f"(Note: the text asks for choice {letter}.)", "end", self.name),
            Annotation(f"Note: {letter} fits best.", "end", self.name),
            Annotation(f"(Note: choice {letter} fits the text below.)", "start", self.name),
        ]
