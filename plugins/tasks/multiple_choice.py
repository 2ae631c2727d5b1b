"""Questions with lettered choices: which one?"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationInfo, field_validator

from saetask import UserError
from saetask.data import Candidate, Item, ItemRow, Prompt, Score, SecondQuestion, Span, Text

from .given_items import given_items
from .letters import LETTERS, stated_letter
from .options import checked_index, equal_options, option_score

CHOICE = re.compile(r"\s*\(?(?P<letter>[A-H])[.):]\s+(?P<text>\S.*)")
"""A line with a choice in a user's text."""


class MultipleChoiceRow(ItemRow):
    """A row of an item file of the task `multiple-choice`."""

    prompt: Text
    """The question."""
    choices: list[Text]
    """Two to eight different answers."""
    label: int
    """Place of the right one among the choices, counted from 0."""

    @field_validator("choices")
    @classmethod
    def _can_be_lettered(cls, choices: list[str]) -> list[str]:
        if not 2 <= len(choices) <= len(LETTERS):
            raise ValueError(f"expected 2 to {len(LETTERS)} choices, found {len(choices)}")
        if equal := equal_options(choices):
            raise ValueError(f"expected different choices, found {equal[0]!r} and {equal[1]!r}")
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
        """Returns a file's items (format: docs/how-to/data.md); none are built in."""
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
        """Finds the letter that the output states; see `stated_letter`."""
        letter = stated_letter(output, item.question["choices"])
        return Score(letter, letter is not None and letter == item.gold)

    def second_question(self, item: Item) -> SecondQuestion:
        """Returns the same question with its choices in other places, and without letters."""
        choices = item.question["choices"]
        lines = [f"- {choice}" for choice in [*choices[1:], choices[0]]]
        content = "\n".join([item.question["prompt"], *lines])
        message = {"role": "user", "content": content}
        prompt = Prompt([message], answer_prefix="Answer:", spans={"text": Span(0, len(content))})
        lettered = zip(LETTERS, choices)
        return SecondQuestion(prompt, [Candidate(f" {text}", letter) for letter, text in lettered])

    def score_second(self, item: Item, output: str) -> Score:
        """Finds which choice the output states."""
        return option_score(output, dict(zip(LETTERS, item.question["choices"])), item.gold)

    def unlearnable(self, items: Sequence[Item]) -> str | None:
        """Returns why no letter can be learnt, where most items have choices of their own."""
        choices = Counter(tuple(item.question["choices"]) for item in items)
        if not items or max(choices.values()) > len(items) / 2:
            return None
        return (
            "the choices differ from item to item, so that a letter means another thing in each; "
            "give items with the same choices in the same order"
        )

    def gold_reading(self, item: Item) -> str | None:
        """Returns the right choice's letter."""
        return item.gold

    def question_from_text(self, text: str, target: str | None) -> Item:
        """Takes a question with its choices in the last lines, one a line, in order from A.

        A choice begins with its letter, as in `A. yes`, `A) yes`, `(A) yes` or `A: yes`. The
        prompt shows all of them as `A. yes`.

        Raises:
            UserError: There is no question, there are fewer than two such lines below it, or two
                choices are equal.
        """
        lines = text.rstrip().splitlines()
        first = len(lines)
        while first and CHOICE.fullmatch(lines[first - 1]):
            first -= 1
        choices = [match for line in lines[first:] if (match := CHOICE.fullmatch(line))]
        starts = [i for i, choice in enumerate(choices) if choice["letter"] == LETTERS[0]]
        first, choices = first + (starts or [0])[-1], choices[(starts or [0])[-1] :]
        letters = tuple(choice["letter"] for choice in choices)
        if len(letters) < 2 or letters != LETTERS[: len(letters)] or not any(lines[:first]):
            raise UserError(
                "The prompt needs a question, and below it two choices at least, a line each, "
                'as in "A. yes" or "A) yes".'
            )
        texts = [choice["text"].rstrip() for choice in choices]
        if equal := equal_options(texts):
            raise UserError(f"The prompt needs different choices; {equal[0]!r} stands there twice.")
        return Item("prompt", "prompt", {"prompt": "\n".join(lines[:first]), "choices": texts})


def _item(row: MultipleChoiceRow) -> Item:
    prompt = row.prompt.strip()
    question = {"prompt": prompt, "choices": [choice.strip() for choice in row.choices]}
    return Item(row.id, row.group_or(prompt), question, LETTERS[row.label])
