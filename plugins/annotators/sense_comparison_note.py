"""Notes that state whether a word has one sense or two."""

from collections.abc import Mapping

from saetask.annotation import Annotation
from saetask.detection import Misunderstanding

SAID = {
    "same": ("the same thing in both", "the same sense", "the same sense as"),
    "different": ("different things in the two", "different senses", "another sense than"),
}


class SenseComparisonNote:
    """States that two uses of a word have one sense or two, in a few note templates."""

    name = "sense-comparison-note"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns each template at its place."""
        if misunderstanding.reading not in SAID:
            return []
        means, have, compared = SAID[misunderstanding.reading]
        word = misunderstanding.text
        return [
            Annotation(f'(Note: "{word}" means {means} sentences.)', "end", self.name),
            Annotation(f"Note: the two uses have {have}.", "end", self.name),
            Annotation(f'(Note: the two uses of "{word}" have {have}.)', "start", self.name),
            Annotation(f"(in {compared} in the first sentence)", "inline", self.name),
        ]
