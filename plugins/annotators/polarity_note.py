"""Notes that state whether a figure of speech affirms or denies."""

from collections.abc import Mapping

from saetask.annotation import Annotation
from saetask.detection import Misunderstanding

SAID = {"affirmed": ("so", "yes", "no"), "denied": ("not so", "no", "yes")}


class PolarityNote:
    """States that a comparison means yes or no, in a few note templates."""

    name = "polarity-note"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns each template at its place."""
        if misunderstanding.reading not in SAID:
            return []
        so, answer, other = SAID[misunderstanding.reading]
        return [
            Annotation(f"(Note: the comparison means that this is {so}.)", "end", self.name),
            Annotation(f"Note: the figure of speech says {answer}, not {other}.", "end", self.name),
            Annotation(f"(Note: the sentence says that something is {so}.)", "start", self.name),
            Annotation(f"(that is: it is {so})", "inline", self.name),
        ]
