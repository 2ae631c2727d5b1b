"""Is the verb used literally or metaphorically?"""

import json
import re
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from saetask import UserError
from saetask.data import (
    Candidate,
    FieldError,
    Item,
    Prompt,
    Score,
    SecondQuestion,
    Span,
    read_items,
    text_field,
)

from .options import option_score
from .word_in_sentence import stem, word_field

LABELS = ("literal", "metaphorical")


class Metaphor:
    """A verb in a sentence: a misreading takes a metaphor literally, or the other way round."""

    name = "metaphor"
    readings = LABELS
    annotators = ("sense-note", "feature-label")

    def items(self, data: Path | None = None) -> list[Item]:
        """Returns the 444 embedded sentences, or a file's (see the README for the format)."""
        if data is not None:
            return read_items(data, _item)
        with as_file(files(__name__.rpartition(".")[0]) / "items" / "metaphor.jsonl") as path:
            return read_items(path, _item)

    def prompt(self, item: Item) -> Prompt:
        """Asks first and shows the sentence last, so that it is read with the question in mind."""
        target = item.question["target"]
        return _prompt(item, f'Is "{target}" used literally or metaphorically?', f'"{target}" is')

    def candidates(self, item: Item) -> list[Candidate]:
        """Returns the two continuations."""
        return [Candidate(f" {label}", label) for label in LABELS]

    def score(self, item: Item, output: str) -> Score:
        """Finds the first of the two words in the output."""
        found = re.search("|".join(LABELS), output.lower())
        parsed = found[0] if found else None
        return Score(parsed, parsed == item.gold)

    def gold_reading(self, item: Item) -> str | None:
        """Returns the label."""
        return item.gold

    def second_question(self, item: Item) -> SecondQuestion | None:
        """Asks which of two paraphrases the verb has here; None where none are known."""
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
        found = re.search(rf"(?<!\w){re.escape(target)}(?!\w)", text)
        if found is None:
            raise UserError(f"--target '{target}' does not occur in the prompt {text[:60]!r}.")
        question = {"sentence": text, "target": target, "target_start": found.start()}
        return Item("prompt", target, question)


def _prompt(item: Item, request: str, answer_prefix: str) -> Prompt:
    """Shows the sentence, in quotation marks, below a request."""
    sentence, lead = item.question["sentence"], f'{request}\n"'
    text = Span(0, len(sentence)).shifted(len(lead))
    start = item.question["target_start"]
    target = Span(start, start + len(item.question["target"])).shifted(text.start)
    message = {"role": "user", "content": f'{lead}{sentence}"'}
    return Prompt([message], answer_prefix, {"text": text, "target": target})


def _item(row: dict[str, Any]) -> Item:
    sentence, target = text_field(row, "sentence"), text_field(row, "target")
    start = word_field(row, "target_start", "target", "sentence").start
    label = row.get("label")
    if label not in LABELS:
        raise FieldError("label", f"expected one of {', '.join(LABELS)}, found {label!r}.")
    question = {"sentence": sentence, "target": target, "target_start": start}
    group = str(row.get("group") or stem(target))
    senses = _senses_field(row) if "senses" in row else _built_in_senses().get(group)
    if senses:
        question["senses"] = senses
    return Item(text_field(row, "id"), group, question, label)


def _senses_field(row: dict[str, Any]) -> dict[str, str]:
    """Returns an item's own paraphrases of its verb."""
    senses = row["senses"]
    if not isinstance(senses, dict):
        raise FieldError("senses", f"expected an object with {' and '.join(LABELS)}.")
    try:
        found = {label: text_field(senses, label) for label in LABELS}
    except FieldError as error:
        raise FieldError("senses", f"'{error.field}': {error}") from error
    if len({text.strip().lower() for text in found.values()}) < len(LABELS):
        raise FieldError("senses", "expected two different paraphrases.")
    return found


@cache
def _built_in_senses() -> dict[str, dict[str, str]]:
    """Returns the two paraphrases of each verb of the embedded sentences."""
    path = files(__name__.rpartition(".")[0]) / "items" / "senses.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["group"]: {label: row[label] for label in LABELS} for row in rows}
