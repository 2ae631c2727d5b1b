"""Notes that depend on no finding: requests for care, and neutral notes of any length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from saetask.annotation.base import Annotation, Placement
from saetask.detection.base import Misunderstanding

PLACES: tuple[Placement, ...] = ("end", "start", "system")
"""Where such a note may stand; it is about no span, so never inline."""
NEUTRAL_PHRASES = (
    "this text is printed",
    " on one of several pages",
    " of a book",
    " that stands on a shelf",
    " between two others",
    " in a room",
    " on the second floor",
    " of a house",
    " at the end",
    " of a street",
    " in a town",
    " by a river",
    " that runs to the sea",
)


@dataclass(frozen=True)
class FixedNotes:
    """An annotator whose notes are the same for every finding, at each place."""

    name: str
    texts: Sequence[str]

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns the notes, whatever was found; see `Annotator`."""
        return self.notes

    @property
    def notes(self) -> list[Annotation]:
        """The notes, in a fixed order of texts and places."""
        return [Annotation(text, place, self.name) for text in self.texts for place in PLACES]


GENERIC = FixedNotes(
    "generic",
    (
        "(Note: read the text carefully before you answer.)",
        "(Note: this is a question that is easily got wrong; think twice.)",
        "(Note: take every word of the text into account.)",
    ),
)
PLACEBO = FixedNotes(
    "placebo",
    (
        "(Note: this text is one of several on the same page.)",
        "(Note: the page that this text is printed on has a number.)",
        "(Note: this text is set in the same type as the others.)",
    ),
)


def neutral_note(like: Annotation) -> Annotation:
    """Returns a note that says nothing of the text, at another note's place and of its length.

    Args:
        like: The other note. The neutral one's number of characters is the nearest that whole
            phrases give.
    """
    texts = [f"(Note: {words}.)" for words in accumulate(NEUTRAL_PHRASES)]
    nearest = min(texts, key=lambda text: abs(len(text) - len(like.text)))
    return Annotation(nearest, like.placement, "gated-placebo")
