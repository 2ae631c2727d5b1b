"""Notes that state which operation a word problem needs."""

from collections.abc import Mapping

from saetask import Annotation, Misunderstanding

WORDINGS = {
    "addition": ("add the two numbers", "addition (+)", "The numbers are put together: add them."),
    "subtraction": (
        "subtract the smaller number from the larger",
        "subtraction (-)",
        "The difference is asked for: subtract the smaller number from the larger.",
    ),
    "multiplication": (
        "multiply the two numbers",
        "multiplication (*)",
        "There are equal groups: multiply the numbers.",
    ),
    "division": (
        "divide the larger number by the smaller",
        "division (/)",
        "It is shared equally: divide the larger number by the smaller.",
    ),
}
FRAMES = ("Note: to solve this, {}.", "(Note: this problem needs {}.)", "{}")


class OperationNote:
    """Says which operation solves the problem, in a few wordings."""

    name = "operation-note"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns each wording after the problem."""
        wordings = WORDINGS.get(misunderstanding.reading, ())
        return [
            Annotation(frame.format(wording), "end", self.name)
            for frame, wording in zip(FRAMES, wordings)
        ]
