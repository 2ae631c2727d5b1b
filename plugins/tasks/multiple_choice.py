"""Questions with lettered choices: which one?"""

import re
from pathlib import Path

from pydantic import ValidationInfo, field_validator

from saetask import UserError
from saetask.data import Candidate, Item, ItemRow, Prompt, Score, Span, Text

from .given_items import given_items
from .options import checked_index

LETTERS = ("A", "B", "C", "D", "E", "F", "G", "H")


class MultipleChoiceRow(ItemRow):
    """A row of an item file of the task `multiple-choice`."""

    prompt: Text
    """The question."""
    choices: list[Text]
    """Two to eight answers."""
    label: int
    """Place of the right one among the choices, counted from 0."""

    @field_validator("choices")
    @classmethod
    def _can_be_lettered(cls, choices: list[str]) -> list[str]:
        if not 2 <= len(choices) <= len(LETTERS):
            raise ValueError(f"expected 2 to {len(LETTERS)} choices, found {len(choices)}")
        return choices

    @field_validator("label")
    @classmethod
    def _is_a_choice(cls, label: int, info: ValidationInfo) -> int:
        return checked_index(label, len(info.data.get("choices", LETTERS)))


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
        return given_items(self.name, data, MultipleChoiceRow, _item)

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


def _item(row: MultipleChoiceRow) -> Item:
    prompt = row.prompt.strip()
    question = {"prompt": prompt, "choices": [choice.strip() for choice in row.choices]}
    return Item(row.id, row.group_or(prompt), question, LETTERS[row.label])
