"""Word problems in several steps: what is the answer?"""

from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from saetask import UserError
from saetask.data import Candidate, Item, ItemRow, Prompt, Score, SecondQuestion, Text

from .arithmetic import (
    ANSWER_TOKENS,
    OPERATIONS,
    STATED,
    Operation,
    problem_spans,
    score_number,
    template,
)
from .given_items import given_items
from .options import option_score

SOLVE = "Solve this problem. Write only the calculations, then #### and the answer."
FIRST_OPERATION = (
    "With which operation does the solution of this problem begin: addition, subtraction, "
    "multiplication or division?"
)


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
    operations: tuple[str, ...]
    """In order; none where the file does not say."""


class GSM8K:
    """Stories in several steps: a misreading ends with another operation than it should.

    Answers are generated, never ranked, so it needs `--scoring generate`. Of the steps only the
    last one is a reading, and only where the file names the operations.
    """

    name = "gsm8k"
    readings = tuple(OPERATIONS)
    annotators = ("operation-note", "relation-note", "feature-label")
    answer_tokens = ANSWER_TOKENS
    answer_end = STATED

    def items(self, data: Path | None = None) -> list[Item]:
        """Returns a file's items (format: docs/how-to/data.md); none are built in."""
        return given_items(self.name, data, GSM8KRow, _item)

    def prompt(self, item: Item) -> Prompt:
        """Returns a prompt for short calculations and a stated answer."""
        return _prompt(item, SOLVE, "Calculations:")

    def candidates(self, item: Item) -> None:
        """Returns None: the answer must be generated."""

    def score(self, item: Item, output: str) -> Score:
        """Compares the number that the output ends with."""
        return score_number(output, item.gold.answer if item.gold else None)

    def gold_reading(self, item: Item) -> str | None:
        """Returns the last operation of the solution, where the file names the operations."""
        return item.gold.operations[-1] if item.gold and item.gold.operations else None

    def second_question(self, item: Item) -> SecondQuestion | None:
        """Returns the question for the first operation; None where it is not known, or the last."""
        operations = item.gold.operations if item.gold else ()
        if not operations or operations[0] == operations[-1]:
            return None
        prompt = _prompt(item, FIRST_OPERATION, "It begins with")
        return SecondQuestion(prompt, [Candidate(f" {name}", name) for name in OPERATIONS])

    def score_second(self, item: Item, output: str) -> Score:
        """Finds which operation the output states."""
        operations = item.gold.operations if item.gold else ()
        first = operations[0] if operations else None
        return option_score(output, {name: name for name in OPERATIONS}, first)

    def question_from_text(self, text: str, target: str | None) -> Item:
        """Takes a word problem."""
        if not text.strip():
            raise UserError("The prompt is empty; give a word problem.")
        return Item("prompt", "prompt", {"question": text.rstrip()})


def _prompt(item: Item, request: str, answer_prefix: str) -> Prompt:
    """Shows the problem below a request."""
    question, lead = item.question["question"], f"{request}\n"
    spans = {name: span.shifted(len(lead)) for name, span in problem_spans(question).items()}
    return Prompt([{"role": "user", "content": lead + question}], answer_prefix, spans)


def _item(row: GSM8KRow) -> Item:
    question = row.question.strip()
    gold = Gold(row.answer, tuple(row.operations))
    return Item(row.id, row.group_or(template(question)), {"question": question}, gold)
