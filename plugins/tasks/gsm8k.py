"""Word problems in several steps: what is the answer?"""

from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from saetask import UserError
from saetask.data import Item, ItemRow, Prompt, Score, Text

from .arithmetic import OPERATIONS, Operation, problem_spans, score_number, template
from .given_items import given_items


class GSM8KRow(ItemRow):
    """A row of an item file of the task `gsm8k`."""

    question: Text
    """The problem."""
    operations: list[Operation] = Field(default_factory=list)
    """The operations of the solution, in order."""
    answer: float
    """The number that solves it."""


class Gold(NamedTuple):
    """What is known of the solution."""

    answer: float
    last_operation: str | None
    """None where the file does not say."""


class GSM8K:
    """Stories in several steps: a misreading ends with another operation than it should.

    Answers are generated, never ranked, so it needs `--scoring generate`. Of the steps only the
    last one is a reading, and only where the file names the operations.
    """

    name = "gsm8k"
    readings = tuple(OPERATIONS)
    annotators = ("operation-note", "feature-label")

    def items(self, data: Path | None = None) -> list[Item]:
        """Returns a file's items (format: docs/how-to/data.md); none are built in."""
        return given_items(self.name, data, GSM8KRow, _item)

    def prompt(self, item: Item) -> Prompt:
        """Returns a prompt for short calculations and a stated answer."""
        question = item.question["question"]
        lead = "Solve this problem. Write only the calculations, then #### and the answer.\n"
        spans = {name: span.shifted(len(lead)) for name, span in problem_spans(question).items()}
        return Prompt([{"role": "user", "content": lead + question}], "Calculations:", spans)

    def candidates(self, item: Item) -> None:
        """Returns None: the answer must be generated."""

    def score(self, item: Item, output: str) -> Score:
        """Compares the number that the output ends with."""
        return score_number(output, item.gold.answer if item.gold else None)

    def gold_reading(self, item: Item) -> str | None:
        """Returns the last operation of the solution, where the file names the operations."""
        return item.gold.last_operation if item.gold else None

    def question_from_text(self, text: str, target: str | None) -> Item:
        """Takes a word problem."""
        if not text.strip():
            raise UserError("The prompt is empty; give a word problem.")
        return Item("prompt", "prompt", {"question": text.rstrip()})


def _item(row: GSM8KRow) -> Item:
    question = row.question.strip()
    gold = Gold(row.answer, row.operations[-1] if row.operations else None)
    return Item(row.id, row.group_or(template(question)), {"question": question}, gold)
