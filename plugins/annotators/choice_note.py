"""Notes that state which of the lettered choices is asked for."""

from collections.abc import Mapping

from saetask.annotation import Annotation
from saetask.detection import Misunderstanding


class ChoiceNote:
    """States a choice by its letter, in a few note templates."""

    name = "choice-note"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns each template at its place."""
        letter = misunderstanding.reading
        return [
            Annotation(f"(Note: the text asks for choice {letter}.)", "end", self.name),
            Annotation(f"Note: {letter} fits best.", "end", self.name),
            Annotation(f"(Note: choice {letter} fits the text below.)", "start", self.name),
        ]
