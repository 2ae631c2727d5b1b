"""Word problems in several steps: what is the answer?"""

from pathlib import Path
from typing import Any, NamedTuple

from saetask import UserError
from saetask.data import FieldError, Item, Prompt, Score, number_field, text_field, texts_field

from .arithmetic import OPERATIONS, problem_spans, score_number, template
from .given_items import given_items


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
        """Returns a file's items (see the README for the format); none are built in."""
        return given_items(self.name, data, _item)

    def prompt(self, item: Item) -> Prompt:
        """Asks for short calculations and a stated answer."""
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


def _item(row: dict[str, Any]) -> Item:
    question = text_field(row, "question").strip()
    operations = texts_field(row, "operations") if "operations" in row else []
    for operation in operations:
        if operation not in OPERATIONS:
            known = ", ".join(OPERATIONS)
            raise FieldError("operations", f"expected {known}, found {operation!r}.")
    gold = Gold(number_field(row, "answer"), operations[-1] if operations else None)
    group = str(row.get("group") or template(question))
    return Item(text_field(row, "id"), group, {"question": question}, gold)
