"""Notes that state in which sense a word is meant."""

from collections.abc import Mapping

from saetask.annotation import PLACEMENTS, Annotation
from saetask.detection import Misunderstanding

TEMPLATES = (
    '(Note: in this sentence "{text}" is {reading}, not {other}.)',
    'Note: here "{text}" is {reading}.',
)
OTHER = {"metaphorical": "literal", "literal": "metaphorical"}
WORDS = ({"metaphorical": "figurative", "literal": "literal"}, {})


class SenseNote:
    """States that the word is meant literally or figuratively, in a few note templates."""

    name = "sense-note"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns each template at each place, with "figurative" and with the task's own word."""
        reading = misunderstanding.reading
        notes = []
        for words in WORDS:
            for template in TEMPLATES:
                other = OTHER.get(reading, "otherwise")
                text = template.format(
                    text=misunderstanding.text,
                    reading=words.get(reading, reading),
                    other=words.get(other, other),
                )
                notes += [Annotation(text, place, self.name) for place in PLACEMENTS]
        return notes
