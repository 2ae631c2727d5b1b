"""Questions with lettered choices: which one?"""

import re
from pathlib import Path
from typing import Any

from saetask import UserError
from saetask.data import (
    Candidate,
    FieldError,
    Item,
    Prompt,
    Score,
    Span,
    index_field,
    text_field,
    texts_field,
)

from .given_items import given_items

LETTERS = ("A", "B", "C", "D", "E", "F", "G", "H")


class MultipleChoice:
    """Any question with two to eight choices: a misreading takes it to ask for another choice.

    What a letter stands for differs from item to item, unless all items have the same choices
    (positive or negative, for example). Only then can a detector learn across items what asks for
    which letter.
    """

    name = "multiple-choice"
    readings = LETTERS
    annotators = ("choice-note", "feature-label")

    def items(self, data: Path | None = None) -> list[Item]:
        """Returns a file's items (see the README for the format); none are built in."""
        return given_items(self.name, data, _item)

    def prompt(self, item: Item) -> Prompt:
        """Shows the question, and its choices with a letter each."""
        lines = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, item.question["choices"])]
        content = "\n".join([item.question["prompt"], *lines])
        return Prompt(
            [{"role": "user", "content": content}],
            answer_prefix="Answer:",
            spans={"text": Span(0, len(content))},
        )

    def candidates(self, item: Item) -> list[Candidate]:
        """Returns the letters of the item's choices."""
        letters = LETTERS[: len(item.question["choices"])]
        return [Candidate(f" {letter}", letter) for letter in letters]

    def score(self, item: Item, output: str) -> Score:
        """Finds the first letter that stands alone and is one of the item's choices."""
        letters = LETTERS[: len(item.question["choices"])]
        # "A" before another word than "is" is the article.
        alone = rf"(?<![\w'’])[{''.join(letters)}](?![\w'’]|\s+(?!is\b)[a-z])"
        found = re.search(alone, output)
        if found is None:
            return Score(None, False)
        return Score(found[0], found[0] == item.gold)

    def gold_reading(self, item: Item) -> str | None:
        """Returns the right choice's letter."""
        return item.gold

    def question_from_text(self, text: str, target: str | None) -> Item:
        """Takes a question with its choices below it, each on a line that begins `A.`, `B.` ..."""
        lines = text.rstrip().splitlines()
        n = sum(line.startswith(tuple(f"{letter}. " for letter in LETTERS)) for line in lines)
        head, tail = lines[: len(lines) - n], lines[len(lines) - n :]
        lettered = zip(tail, LETTERS)
        if n < 2 or not head or not all(line.startswith(f"{x}. ") for line, x in lettered):
            raise UserError(
                'The prompt needs a question, and below it two choices at least, as in "A. yes".'
            )
        question = {"prompt": "\n".join(head), "choices": [line[3:] for line in tail]}
        return Item("prompt", "prompt", question)


def _item(row: dict[str, Any]) -> Item:
    prompt, choices = text_field(row, "prompt").strip(), texts_field(row, "choices")
    if not 2 <= len(choices) <= len(LETTERS):
        raise FieldError("choices", f"expected 2 to {len(LETTERS)} choices, found {len(choices)}.")
    label = index_field(row, "label", len(choices))
    question = {"prompt": prompt, "choices": [choice.strip() for choice in choices]}
    group = str(row.get("group") or prompt)
    return Item(text_field(row, "id"), group, question, LETTERS[label])
