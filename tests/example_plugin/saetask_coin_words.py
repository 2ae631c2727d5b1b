"""An example of a plugin package: one task and one annotator, from saetask's public names alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from pydantic import ValidationInfo, field_validator

from saetask import UserError, hookimpl
from saetask.annotation import Annotation
from saetask.data import Candidate, Item, ItemRow, Prompt, Score, Span, Text, read_items
from saetask.detection import Misunderstanding

Sense = Literal["money", "other"]
READINGS: tuple[Sense, ...] = get_args(Sense)
OTHER_SENSES = {
    "bill": ("The duck had an orange {}.", "Its {} was flat and wide."),
    "bread": ("She baked {} in the morning.", "The {} was still warm."),
    "change": ("The {} of season came late.", "We noticed no {} in her voice."),
    "check": ("The doctor made a quick {}.", "One last {} of the brakes was due."),
    "coin": ("They will {} a new word for it.", "Poets {} phrases every day."),
    "dough": ("Let the {} rise overnight.", "Knead the {} until it is smooth."),
    "mint": ("The tea tasted of {}.", "A sprig of {} lay on the plate."),
    "note": ("She sang one high {}.", "The last {} of the song faded."),
    "pound": ("They {} on the door.", "Heavy waves {} the pier."),
    "quarter": ("He lives in the old {} of town.", "The first {} of the match was dull."),
}
MONEY_SENSES = ("He paid the driver with a {} from his purse.", "The bank gave her a {} for it.")


class CoinRow(ItemRow):
    """A row of an item file."""

    sentence: Text
    word: Text
    reading: Sense

    @field_validator("word")
    @classmethod
    def _occurs(cls, word: str, info: ValidationInfo) -> str:
        if word not in info.data.get("sentence", word):
            raise ValueError(f"{word!r} does not occur in the sentence")
        return word


class CoinWords:
    """A word for money in a sentence: is money meant?"""

    name = "coin-words"
    readings = READINGS
    annotators = ("coin-note",)

    def items(self, data: Path | None = None) -> list[Item]:
        """Returns the 40 built-in sentences, or a file's: `id`, `sentence`, `word`, `reading`."""
        if data is not None:
            return read_items(data, CoinRow, _item)
        return [
            Item(f"{word}-{i}", word, {"sentence": s.format(word), "word": word}, reading)
            for word, others in OTHER_SENSES.items()
            for i, (s, reading) in enumerate(
                [*((s, "money") for s in MONEY_SENSES), *((s, "other") for s in others)]
            )
        ]

    def prompt(self, item: Item) -> Prompt:
        """Asks about the word, then shows the sentence."""
        sentence, word = item.question["sentence"], item.question["word"]
        lead = f'Does "{word}" mean money here?\n'
        text = Span(0, len(sentence)).shifted(len(lead))
        start = text.start + sentence.index(word)
        return Prompt(
            [{"role": "user", "content": lead + sentence}],
            answer_prefix="Answer:",
            spans={"text": text, "target": Span(start, start + len(word))},
        )

    def candidates(self, item: Item) -> list[Candidate] | None:
        """Returns yes and no."""
        return [Candidate(" Yes", "money"), Candidate(" No", "other")]

    def score(self, item: Item, output: str) -> Score:
        """Takes an answer that begins with yes or no."""
        parsed = {"y": "money", "n": "other"}.get(output.strip()[:1].lower())
        return Score(parsed, parsed is not None and parsed == item.gold)

    def gold_reading(self, item: Item) -> str | None:
        """Returns the label."""
        return item.gold

    def question_from_text(self, text: str, target: str | None) -> Item:
        """Takes a sentence and the word that is asked about."""
        if not target or target not in text:
            raise UserError("The coin-words task needs a word of the prompt: add --target WORD.")
        return Item("prompt", target, {"sentence": text, "word": target})


class CoinNote:
    """Says whether the word means money."""

    name = "coin-note"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns one note in the sentence and one after it."""
        meant = "money" if misunderstanding.reading == "money" else "not money"
        return [
            Annotation(f"(here {meant})", "inline", self.name),
            Annotation(f'Note: "{misunderstanding.text}" is {meant} here.', "end", self.name),
        ]


def _item(row: CoinRow) -> Item:
    question = {"sentence": row.sentence, "word": row.word}
    return Item(row.id, row.group_or(row.word), question, row.reading)


@hookimpl
def saetask_tasks() -> list[CoinWords]:
    return [CoinWords()]


@hookimpl
def saetask_annotators() -> list[CoinNote]:
    return [CoinNote()]
