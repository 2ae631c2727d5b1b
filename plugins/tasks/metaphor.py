"""Is the verb used literally or metaphorically?"""

import json
import re
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationInfo, field_validator, model_validator

from saetask import UserError, did_you_mean
from saetask.data import (
    Candidate,
    Item,
    ItemRow,
    Prompt,
    Row,
    Score,
    SecondQuestion,
    Span,
    Text,
    read_items,
)

from .options import first_of_two, option_score
from .word_in_sentence import Offset, checked_offset, stem

MetaphorLabel = Literal["literal", "metaphorical"]
LABELS: tuple[MetaphorLabel, ...] = get_args(MetaphorLabel)
ADJECTIVES = {"literal": "literal", "metaphorical": "metaphorical|metaphoric|figurative"}
ADVERBS = {"literal": "literally", "metaphorical": "metaphorically|figuratively"}
"""An answer's words for each label; adverbs count where there is no adjective, because `literally`
is a word of emphasis, too."""


class Senses(Row):
    """An item's own paraphrases of its verb."""

    literal: Text
    """What the verb means if it is used literally."""
    metaphorical: Text
    """What it means if it is used metaphorically."""

    @model_validator(mode="after")
    def _are_different(self) -> "Senses":
        if self.literal.strip().lower() == self.metaphorical.strip().lower():
            raise ValueError("expected two different paraphrases")
        return self


class MetaphorRow(ItemRow):
    """A row of an item file of the task `metaphor`."""

    sentence: Text
    """A sentence with a verb that is used literally or metaphorically."""
    target: Text
    """The verb as it stands in the sentence."""
    target_start: Offset
    """Place of its first character in the sentence, counted from 0."""
    label: MetaphorLabel
    """How the verb is used."""
    senses: Senses | None = None
    """A paraphrase of the verb for each label; the second question asks which one fits."""

    @field_validator("target_start")
    @classmethod
    def _target_stands_there(cls, offset: int, info: ValidationInfo) -> int:
        return checked_offset(offset, info.data, "target", "sentence")


class Metaphor:
    """A verb in a sentence: a misreading takes a metaphor literally, or the other way round."""

    name = "metaphor"
    readings = LABELS
    annotators = ("sense-note", "feature-label")

    def items(self, data: Path | None = None) -> list[Item]:
        """Returns the 444 embedded sentences, or a file's (format: docs/how-to/data.md)."""
        if data is not None:
            return read_items(data, MetaphorRow, _item)
        with as_file(files(__name__.rpartition(".")[0]) / "items" / "metaphor.jsonl") as path:
            return read_items(path, MetaphorRow, _item)

    def prompt(self, item: Item) -> Prompt:
        """Returns a prompt with the question first, so that the sentence is read in its light."""
        target = item.question["target"]
        return _prompt(item, f'Is "{target}" used literally or metaphorically?', f'"{target}" is')

    def candidates(self, item: Item) -> list[Candidate]:
        """Returns the two continuations."""
        return [Candidate(f" {label}", label) for label in LABELS]

    def score(self, item: Item, output: str) -> Score:
        """Finds the first of the two words in the output; `not literal` is metaphorical."""
        parsed = first_of_two(output, ADJECTIVES) or first_of_two(output, ADVERBS)
        return Score(parsed, parsed is not None and parsed == item.gold)

    def gold_reading(self, item: Item) -> str | None:
        """Returns the label."""
        return item.gold

    def second_question(self, item: Item) -> SecondQuestion | None:
        """Returns the question which of two paraphrases fits; None where there are none."""
        if "senses" not in item.question:
            return None
        target, senses = item.question["target"], item.question["senses"]
        prompt = _prompt(item, f'What does "{target}" mean here?', f'Here "{target}" means')
        return SecondQuestion(prompt, [Candidate(f" {senses[label]}", label) for label in LABELS])

    def score_second(self, item: Item, output: str) -> Score:
        """Finds which paraphrase the output states."""
        return option_score(output, item.question.get("senses", {}), item.gold)

    def question_from_text(self, text: str, target: str | None) -> Item:
        """Takes a sentence and the verb that is asked about (`--target`)."""
        if not target or not target.strip():
            raise UserError("The metaphor task needs the verb in question: add --target WORD.")
        found = re.search(rf"(?<!\w){re.escape(target)}(?!\w)", text, re.IGNORECASE)
        if found is None:
            hint = did_you_mean(target, set(re.findall(r"\w+", text)))
            raise UserError(
                f"--target '{target}' does not occur in the prompt {text[:60]!r}.{hint}"
            )
        question = {"sentence": text, "target": found.group(), "target_start": found.start()}
        return Item("prompt", found.group(), question)


def _prompt(item: Item, request: str, answer_prefix: str) -> Prompt:
    """Shows the sentence, in quotation marks, below a request."""
    sentence, lead = item.question["sentence"], f'{request}\n"'
    text = Span(0, len(sentence)).shifted(len(lead))
    start = item.question["target_start"]
    target = Span(start, start + len(item.question["target"])).shifted(text.start)
    message = {"role": "user", "content": f'{lead}{sentence}"'}
    return Prompt([message], answer_prefix, {"text": text, "target": target})


def _item(row: MetaphorRow) -> Item:
    question: dict[str, Any] = {
        "sentence": row.sentence,
        "target": row.target,
        "target_start": row.target_start,
    }
    group = row.group_or(stem(row.target))
    senses = row.senses.model_dump() if row.senses else _built_in_senses().get(group)
    if senses:
        question["senses"] = senses
    return Item(row.id, group, question, row.label)


@cache
def _built_in_senses() -> dict[str, dict[str, str]]:
    """Returns the two paraphrases of each verb of the embedded sentences."""
    path = files(__name__.rpartition(".")[0]) / "items" / "senses.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["group"]: {label: row[label] for label in LABELS} for row in rows}
