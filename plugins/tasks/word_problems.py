"""Word problems with one operation: which one?"""

from importlib.resources import as_file, files
from itertools import combinations
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from saetask import UserError
from saetask.data import (
    Candidate,
    Item,
    ItemRow,
    Prompt,
    Score,
    SecondQuestion,
    Text,
    first_number,
    number_text,
    numbers_in,
    read_items,
    rounded_text,
    same_number,
)

from .arithmetic import (
    ANSWER_TOKENS,
    EQUATION,
    OPERATIONS,
    STATED,
    problem_spans,
    score_number,
    template,
)

MAX_NUMBERS = 4


class WordProblemRow(ItemRow):
    """A row of an item file of the task `word-problems`."""

    question: Text
    """The problem, with its numbers in digits."""
    answer: float
    """The number that solves it."""


class Equation(NamedTuple):
    """One operation on two numbers of a problem."""

    operation: str
    a: float
    b: float
    value: float

    @property
    def text(self) -> str:
        """The equation as it is written: its numbers as they are, its value rounded like them."""
        a, b = number_text(self.a), number_text(self.b)
        value = rounded_text(self.value, max(len(n.partition(".")[2]) for n in (a, b)))
        return f"{a} {OPERATIONS[self.operation]} {f'({b})' if self.b < 0 else b} = {value}"


class WordProblems:
    """Arithmetic stories: a misreading adds where one must subtract, or follows a cue word."""

    name = "word-problems"
    readings = tuple(OPERATIONS)
    annotators = ("operation-note", "relation-note", "feature-label")
    answer_tokens = ANSWER_TOKENS
    answer_end = f"{EQUATION}|{STATED}"
    generating_task = "gsm8k"

    def items(self, data: Path | None = None) -> list[Item]:
        """Returns the 920 embedded problems, or a file's (format: docs/how-to/data.md)."""
        if data is not None:
            return read_items(data, WordProblemRow, _item)
        with as_file(files(__name__.rpartition(".")[0]) / "items" / "word-problems.jsonl") as path:
            return read_items(path, WordProblemRow, _item)

    def prompt(self, item: Item) -> Prompt:
        """Returns a prompt for the equation."""
        return _prompt(item, "Write the equation that solves this problem.", "Equation:")

    def candidates(self, item: Item) -> list[Candidate] | None:
        """Returns the equations over every two of the problem's numbers, the larger first."""
        return [
            Candidate(f" {equation.text}", equation.operation)
            for equation in _equations(item.question["question"])
        ] or None

    def score(self, item: Item, output: str) -> Score:
        """Compares the number that the output ends with."""
        return score_number(output, item.gold)

    def gold_reading(self, item: Item) -> str | None:
        """Returns the one operation that leads to the gold answer, if just one does."""
        found = {
            equation.operation
            for equation in _equations(item.question["question"])
            if same_number(equation.value, item.gold)
        }
        return found.pop() if len(found) == 1 else None

    def second_question(self, item: Item) -> SecondQuestion:
        """Returns a prompt for the number alone, which a note on the operation does not contain."""
        prompt = _prompt(item, "Solve this problem. Answer with a number.", "Answer:")
        return SecondQuestion(prompt, None)

    def score_second(self, item: Item, output: str) -> Score:
        """Compares the first number of what follows the answer prefix."""
        found = first_number(output)
        parsed = None if found is None else number_text(found)
        return Score(parsed, same_number(found, item.gold))

    def question_from_text(self, text: str, target: str | None) -> Item:
        """Takes a word problem with two numbers at least."""
        item = Item("prompt", "prompt", {"question": text})
        if len(numbers_in(text)) < 2:
            raise UserError("A word problem needs at least two numbers written in digits.")
        return item


def _item(row: WordProblemRow) -> Item:
    group = row.group_or(template(row.question))
    return Item(row.id, group, {"question": row.question}, row.answer)


def _prompt(item: Item, request: str, answer_prefix: str) -> Prompt:
    """Shows the problem below a request."""
    question, lead = item.question["question"], f"{request}\n"
    spans = {name: span.shifted(len(lead)) for name, span in problem_spans(question).items()}
    return Prompt([{"role": "user", "content": lead + question}], answer_prefix, spans)


def _numbers(question: str) -> list[float]:
    """Returns the first `MAX_NUMBERS` numbers of a problem that are written differently."""
    numbers = {number_text(number): number for number in numbers_in(question)}
    return list(numbers.values())[:MAX_NUMBERS]


def _equations(question: str) -> list[Equation]:
    numbers = _numbers(question)
    pairs = combinations(numbers, 2) if len(numbers) > 1 else [(n, n) for n in numbers]
    equations = []
    for pair in pairs:
        b, a = sorted(pair)
        divisor, dividend = sorted(pair, key=abs)
        equations += [
            Equation("addition", a, b, a + b),
            Equation("subtraction", a, b, a - b),
            Equation("multiplication", a, b, a * b),
        ]
        if divisor:
            equations.append(Equation("division", dividend, divisor, dividend / divisor))
    return [equation for equation in equations if isfinite(equation.value)]
