"""Is the verb used literally or metaphorically?"""

import re
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from saetask import (
    Candidate,
    FieldError,
    Item,
    Prompt,
    Score,
    Span,
    UserError,
    read_items,
    text_field,
)

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
        sentence, target = item.question["sentence"], item.question["target"]
        question = f'Is "{target}" used literally or metaphorically?\n"'
        text = Span(0, len(sentence)).shifted(len(question))
        start = item.question["target_start"]
        target_span = Span(start, start + len(target)).shifted(text.start)
        return Prompt(
            [{"role": "user", "content": f'{question}{sentence}"'}],
            answer_prefix=f'"{target}" is',
            spans={"text": text, "target": target_span},
        )

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

    def question_from_text(self, text: str, target: str | None) -> Item:
        """Takes a sentence and the verb that is asked about (`--target`)."""
        if not target or not target.strip():
            raise UserError("The metaphor task needs the verb in question: add --target WORD.")
        found = re.search(rf"(?<!\w){re.escape(target)}(?!\w)", text)
        if found is None:
            raise UserError(f"--target '{target}' does not occur in the prompt {text[:60]!r}.")
        question = {"sentence": text, "target": target, "target_start": found.start()}
        return Item("prompt", target, question)


def _item(row: dict[str, Any]) -> Item:
    sentence, target = text_field(row, "sentence"), text_field(row, "target")
    start, label = row.get("target_start"), row.get("label")
    if isinstance(start, bool) or not isinstance(start, int) or start < 0:
        raise FieldError("target_start", f"expected a character offset, found {start!r}.")
    if sentence[start : start + len(target)] != target:
        found = sentence[start : start + len(target)]
        raise FieldError("target_start", f"the sentence has {found!r} there, not {target!r}.")
    if label not in LABELS:
        raise FieldError("label", f"expected one of {', '.join(LABELS)}, found {label!r}.")
    question = {"sentence": sentence, "target": target, "target_start": start}
    group = row.get("group") or _stem(target)
    return Item(text_field(row, "id"), str(group), question, label)


def _stem(verb: str) -> str:
    """Groups the inflections of a verb where the file names no group."""
    import snowballstemmer

    return snowballstemmer.stemmer("english").stemWord(verb.lower())
