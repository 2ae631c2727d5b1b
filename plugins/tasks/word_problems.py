"""Word problems with one operation: which one?"""

import re
from importlib.resources import as_file, files
from itertools import combinations
from pathlib import Path
from typing import Any

from saetask import (
    Candidate,
    Item,
    Prompt,
    Score,
    Span,
    UserError,
    last_number,
    number_field,
    read_items,
    stated_number,
    text_field,
)

OPERATIONS = {"addition": "+", "subtraction": "-", "multiplication": "*", "division": "/"}
TOLERANCE = 0.00501
"""Numbers are written, and therefore compared, to two decimals."""
LARGEST_NUMBERS = 4


class WordProblems:
    """Arithmetic stories: a misreading adds where one must subtract, or follows a cue word."""

    name = "word-problems"
    readings = tuple(OPERATIONS)
    annotators = ("operation-note", "feature-label")

    def items(self, data: Path | None = None) -> list[Item]:
        """Returns the 920 embedded problems, or a file's (see the README for the format)."""
        if data is not None:
            return read_items(data, _item)
        with as_file(files(__name__.rpartition(".")[0]) / "items" / "word-problems.jsonl") as path:
            return read_items(path, _item)

    def prompt(self, item: Item) -> Prompt:
        """Asks for the equation."""
        question = item.question["question"]
        lead = "Write the equation that solves this problem.\n"
        asked = _asking_sentence(question)
        told = Span(0, asked.start) if asked.start else Span(asked.end, len(question))
        spans = {
            "text": Span(0, len(question)),
            "story": told if question[told.start : told.end].strip() else asked,
            "question": asked,
        }
        return Prompt(
            [{"role": "user", "content": lead + question}],
            answer_prefix="Equation:",
            spans={name: span.shifted(len(lead)) for name, span in spans.items()},
        )

    def candidates(self, item: Item) -> list[Candidate] | None:
        """Returns the equations over every two of the problem's numbers, larger number first."""
        return [
            Candidate(f" {_text(a)} {OPERATIONS[operation]} {_text(b)} = {_text(value)}", operation)
            for operation, a, b, value in _equations(item.question["question"])
        ] or None

    def score(self, item: Item, output: str) -> Score:
        """Compares the number that the output ends with."""
        strict, flexible = stated_number(output), last_number(output)
        parsed = None if strict is None else _text(strict)
        return Score(parsed, _equal(strict, item.gold), _equal(flexible, item.gold))

    def gold_reading(self, item: Item) -> str | None:
        """Returns the one operation that leads to the gold answer, if just one does."""
        found = {
            operation
            for operation, _, _, value in _equations(item.question["question"])
            if _equal(value, item.gold)
        }
        return found.pop() if len(found) == 1 else None

    def question_from_text(self, text: str, target: str | None) -> Item:
        """Takes a word problem with two numbers at least."""
        item = Item("prompt", "prompt", {"question": text})
        if len(re.findall(r"\d[\d,]*(?:\.\d+)?", text)) < 2:
            raise UserError("A word problem needs at least two numbers written in digits.")
        return item


def _item(row: dict[str, Any]) -> Item:
    question = text_field(row, "question")
    group = row.get("group") or _template(question)
    return Item(
        text_field(row, "id"), str(group), {"question": question}, number_field(row, "answer")
    )


def _template(question: str) -> str:
    """Names a problem by its words without numbers, names and case: the template it came from."""
    words = re.findall(r"[A-Za-z]+", re.sub(r"(?<![.?!]\s)(?<!^)\b[A-Z]\w*", "", question))
    return " ".join(words).lower()


def _asking_sentence(question: str) -> Span:
    """Returns the last sentence with a question mark, or else the last sentence."""
    sentences = [
        Span(*found.span()) for found in re.finditer(r"\S.*?(?:[.?!](?=\s)|$)", question, re.DOTALL)
    ]
    asking = [span for span in sentences if "?" in question[span.start : span.end]]
    return (asking or sentences)[-1]


def _numbers(question: str) -> list[float]:
    """Returns the distinct numbers of a problem in order, `LARGEST_NUMBERS` at most."""
    found = re.findall(r"\d[\d,]*(?:\.\d+)?", question)
    numbers = dict.fromkeys(float(number.replace(",", "")) for number in found)
    return list(numbers)[:LARGEST_NUMBERS]


def _equations(question: str) -> list[tuple[str, float, float, float]]:
    numbers = _numbers(question)
    pairs = combinations(numbers, 2) if len(numbers) > 1 else [(n, n) for n in numbers]
    equations = []
    for pair in pairs:
        b, a = sorted(pair)
        equations += [
            ("addition", a, b, a + b),
            ("subtraction", a, b, a - b),
            ("multiplication", a, b, a * b),
        ]
        if b:
            equations.append(("division", a, b, a / b))
    return equations


def _text(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _equal(value: float | None, gold: float | None) -> bool:
    if value is None or gold is None:
        return False
    return abs(value - gold) <= TOLERANCE
