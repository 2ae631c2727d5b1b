"""Notes that state which operation a word problem needs."""

from collections.abc import Mapping

from saetask.annotation import PLACEMENTS, Annotation
from saetask.data import number_text, numbers_in, same_number
from saetask.detection import Misunderstanding

REASONS = {
    "addition": "The numbers are put together: add them.",
    "subtraction": "The difference is asked for: subtract the smaller number from the larger.",
    "multiplication": "There are equal groups: multiply the numbers.",
    "division": "It is shared equally: divide the larger number by the smaller.",
}
SIGNS = {"addition": "+", "subtraction": "-", "multiplication": "*", "division": "/"}


def result(operation: str, a: float, b: float) -> float | None:
    """Returns what an operation gives, the larger number first; None for a quotient by zero."""
    b, a = sorted((a, b))
    if operation == "division":
        return a / b if b else None
    return {"addition": a + b, "subtraction": a - b, "multiplication": a * b}[operation]


def beginning(problem: str, operation: str) -> str:
    """Returns how the equation begins: with the problem's numbers, if it holds just two.

    One of them may happen to be the result (50 - 25): then the equation has letters, so that no
    note holds the answer.
    """
    sign = SIGNS[operation]
    numbers = sorted({number_text(number): number for number in numbers_in(problem)}.values())
    if len(numbers) == 2:
        b, a = numbers
        if not any(same_number(result(operation, a, b), number) for number in numbers):
            return f"{number_text(a)} {sign} {number_text(b)}"
    return f"a {sign} b"


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
        begins = f"The equation begins: {beginning(misunderstanding.text, reading)}"
        texts = (form, f"{REASONS[reading]} {form}", f"{REASONS[reading]} {begins}")
        return [
            Annotation(text, place, self.name)
            for text in texts
            for place in PLACEMENTS
            if place != "inline"
        ]
