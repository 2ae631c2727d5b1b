"""Notes that state which operation a word problem needs."""

from collections.abc import Mapping

from saetask.annotation import PLACEMENTS, Annotation
from saetask.data import number_text, numbers_in
from saetask.detection import Misunderstanding

REASONS = {
    "addition": "The numbers are put together: add them.",
    "subtraction": "The difference is asked for: subtract the smaller number from the larger.",
    "multiplication": "There are equal groups: multiply the numbers.",
    "division": "It is shared equally: divide the larger number by the smaller.",
}
SIGNS = {"addition": "+", "subtraction": "-", "multiplication": "*", "division": "/"}


def beginning(problem: str, sign: str) -> str:
    """Returns how the equation begins: with the problem's numbers, if it holds just two."""
    numbers = sorted({number_text(number): number for number in numbers_in(problem)}.values())
    a, b = (number_text(n) for n in reversed(numbers)) if len(numbers) == 2 else ("a", "b")
    return f"{a} {sign} {b}"


class OperationNote:
    """States which operation solves the problem, in a few note templates."""

    name = "operation-note"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns each text at each place that does not cut the problem in two."""
        reading = misunderstanding.reading
        if reading not in REASONS:
            return []
        form = f"The equation has the form: a {SIGNS[reading]} b = c"
        begins = f"The equation begins: {beginning(misunderstanding.text, SIGNS[reading])}"
        texts = (form, f"{REASONS[reading]} {form}", f"{REASONS[reading]} {begins}")
        return [
            Annotation(text, place, self.name)
            for text in texts
            for place in PLACEMENTS
            if place != "inline"
        ]
