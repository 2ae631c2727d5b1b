"""Notes that state which operation a word problem needs."""

from collections.abc import Mapping

from saetask.annotation import PLACEMENTS, Annotation
from saetask.detection import Misunderstanding

REASONS = {
    "addition": "The numbers are put together: add them.",
    "subtraction": "The difference is asked for: subtract the smaller number from the larger.",
    "multiplication": "There are equal groups: multiply the numbers.",
    "division": "It is shared equally: divide the larger number by the smaller.",
}
SIGNS = {"addition": "+", "subtraction": "-", "multiplication": "*", "division": "/"}


class OperationNote:
    """Says which operation solves the problem, in a few wordings and places."""

    name = "operation-note"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns each wording in each place that does not cut the problem in two."""
        reading = misunderstanding.reading
        if reading not in REASONS:
            return []
        form = f"The equation has the form: a {SIGNS[reading]} b = c"
        wordings = (REASONS[reading], form, f"{REASONS[reading]} {form}")
        return [
            Annotation(wording, place, self.name)
            for wording in wordings
            for place in PLACEMENTS
            if place != "inline"
        ]
