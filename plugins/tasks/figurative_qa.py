"""Figurative sentences with two endings: what do they say?"""

import re
import zlib
from pathlib import Path

from pydantic import field_validator

from saetask import UserError
from saetask.data import Candidate, Item, ItemRow, Prompt, Score, SecondQuestion, Span, Text

from .given_items import given_items
from .options import checked_index, equal_options, first_of_two, option_score

READINGS = ("affirmed", "denied")


class FigurativeRow(ItemRow):
    """A row of an item file of the task `figurative-qa`."""

    phrase: Text
    """The figurative sentence."""
    endings: list[Text]
    """Two different sentences, of which one is what the phrase means."""
    label: int
    """Place of that one among the endings: 0 or 1."""

    @field_validator("endings")
    @classmethod
    def _are_two(cls, endings: list[str]) -> list[str]:
        endings = [ending.strip() for ending in endings]
        if len(endings) != 2 or equal_options([ending.lower() for ending in endings]):
            raise ValueError(f"expected two different endings, found {endings!r}")
        return endings

    @field_validator("label")
    @classmethod
    def _is_an_ending(cls, label: int) -> int:
        return checked_index(label, 2)


NEGATION = re.compile(
    r"\b(?:not|cannot|no|never|none|nothing|nobody|neither|nor|without|hardly|barely|rarely"
    r"|seldom|little|few|fewer|less|lacks?|lacked)\b|n['’]t\b"
    r"|\bun(?!der|til\b|less\b|to\b|cles?\b|i[fqtv]|ion|ison)[a-z]{3}",
    re.IGNORECASE,
)
"""Words that deny, n't, and the prefix un- (which is none in under, until, uncle, unit ...)."""


class FigurativeQA:
    """Comparisons and their meaning: a misreading takes one to affirm what it denies.

    Which ending is right differs from item to item; what can be learnt across items is whether the
    figure affirms or denies. An ending stands for `denied` if it holds a negation (`NEGATION`),
    else for `affirmed`. Where this does not separate the two endings, no reading is the right
    one: such items are asked and scored, but nothing is fitted on them.
    """

    name = "figurative-qa"
    readings = READINGS
    annotators = ("polarity-note", "feature-label")

    def items(self, data: Path | None = None) -> list[Item]:
        """Returns a file's items (format: docs/how-to/data.md); none are built in."""
        return given_items(self.name, data, FigurativeRow, _item)

    def prompt(self, item: Item) -> Prompt:
        """Returns a prompt with the question first; the endings are ranked, and not part of it."""
        lead, phrase = 'What does this mean?\n"', item.question["phrase"]
        return Prompt(
            [{"role": "user", "content": f'{lead}{phrase}"'}],
            answer_prefix="It means:",
            spans={"text": Span(0, len(phrase)).shifted(len(lead))},
        )

    def candidates(self, item: Item) -> list[Candidate]:
        """Returns the two endings."""
        return [Candidate(f" {ending}", _reading(ending)) for ending in item.question["endings"]]

    def score(self, item: Item, output: str) -> Score:
        """Finds which ending the output states."""
        return option_score(output, dict(enumerate(item.question["endings"])), item.gold)

    def gold_reading(self, item: Item) -> str | None:
        """Returns the right ending's reading, or None where the other ending has the same one."""
        first, second = (_reading(ending) for ending in item.question["endings"])
        if item.gold is None or first == second:
            return None
        return (first, second)[item.gold]

    def second_question(self, item: Item) -> SecondQuestion:
        """Returns the question whether one of the endings, drawn by the id, is what is meant.

        Whether it affirms or denies does not tell: the answer is yes where the ending does as well.
        """
        phrase, ending = item.question["phrase"], item.question["endings"][_drawn_ending(item)]
        lead = f'Somebody says: "{ending}"\nDoes this mean the same?\n"'
        prompt = Prompt(
            [{"role": "user", "content": f'{lead}{phrase}"'}],
            answer_prefix="Answer:",
            spans={"text": Span(0, len(phrase)).shifted(len(lead))},
        )
        return SecondQuestion(prompt, [Candidate(" yes", "affirmed"), Candidate(" no", "denied")])

    def score_second(self, item: Item, output: str) -> Score:
        """Finds the first yes or no."""
        parsed = first_of_two(output, {"yes": "yes", "no": "no"})
        right = "yes" if item.gold == _drawn_ending(item) else "no"
        return Score(parsed, item.gold is not None and parsed == right)

    def question_from_text(self, text: str, target: str | None) -> Item:
        """Takes three lines: the sentence and its two endings."""
        lines = [line.rstrip() for line in text.splitlines() if line.strip()]
        if len(lines) != 3:
            raise UserError(
                "The figurative-qa task needs three lines, a sentence and two endings; "
                f"the prompt has {len(lines)}."
            )
        if equal_options([line.lower() for line in lines[1:]]):
            raise UserError(
                "The figurative-qa task needs two different endings; the prompt has "
                f"{lines[1].strip()!r} twice."
            )
        return Item("prompt", "prompt", {"phrase": lines[0], "endings": lines[1:]})


def _drawn_ending(item: Item) -> int:
    """Returns the index of the ending that the second question asks about: by the item's id."""
    return zlib.crc32(item.id.encode()) % 2


def _reading(ending: str) -> str:
    return READINGS[NEGATION.search(ending) is not None]


def _item(row: FigurativeRow) -> Item:
    question = {"phrase": row.phrase.strip(), "endings": row.endings}
    # Sentences with the same endings are variations of one another.
    return Item(row.id, row.group_or(" | ".join(sorted(row.endings))), question, row.label)
