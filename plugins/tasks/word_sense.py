"""A word in two sentences: the same sense or not?"""

import re
from pathlib import Path
from typing import Literal, get_args

from pydantic import ValidationInfo, field_validator

from saetask import UserError
from saetask.data import Candidate, Item, ItemRow, Prompt, Score, Span, Text

from .given_items import given_items
from .options import first_of_two
from .word_in_sentence import Offset, checked_offset, stem

SenseLabel = Literal["same", "different"]
LABELS: tuple[SenseLabel, ...] = get_args(SenseLabel)
ANSWERS = {"same": " the same", "different": " different"}
WORDS = {"same": "same|no different", "different": "different"}
"""An answer's words for each label."""


class WordSenseRow(ItemRow):
    """A row of an item file of the task `word-sense`."""

    word: Text
    """The word in its basic form."""
    sentence1: Text
    """The first sentence."""
    sentence2: Text
    """The second sentence."""
    target1: Text
    """The word as it stands in the first sentence."""
    target2: Text
    """The word as it stands in the second sentence."""
    start1: Offset
    """Place of `target1` in the first sentence, counted from 0."""
    start2: Offset
    """Place of `target2` in the second sentence, counted from 0."""
    label: SenseLabel
    """Whether the word has one sense in both."""

    @field_validator("start1", "start2")
    @classmethod
    def _target_stands_there(cls, offset: int, info: ValidationInfo) -> int:
        which = str(info.field_name)[-1]
        return checked_offset(offset, info.data, f"target{which}", f"sentence{which}")


class WordSense:
    """A word in two sentences: a misreading takes two senses for one, or one for two."""

    name = "word-sense"
    readings = LABELS
    annotators = ("sense-comparison-note", "feature-label")

    def items(self, data: Path | None = None) -> list[Item]:
        """Returns a file's items (format: docs/how-to/data.md); none are built in."""
        return given_items(self.name, data, WordSenseRow, _item)

    def prompt(self, item: Item) -> Prompt:
        """Returns a prompt with the question first, then the two sentences, a line each.

        The span `target` is the word in the second sentence, where its sense can be compared;
        `other` is the word in the first.
        """
        question = item.question
        lead = f'Does "{question["word"]}" have the same meaning in both sentences?\n'
        first, second = question["sentence1"], question["sentence2"].rstrip()
        start = len(lead) + len(first) + len("\n")
        content = f"{lead}{first}\n{second}"
        spans = {
            "text": Span(len(lead), len(content)),
            "target": Span(*question["span2"]).shifted(start),
            "other": Span(*question["span1"]).shifted(len(lead)),
        }
        message = {"role": "user", "content": content}
        return Prompt([message], answer_prefix="The two meanings are", spans=spans)

    def candidates(self, item: Item) -> list[Candidate]:
        """Returns the two continuations."""
        return [Candidate(text, label) for label, text in ANSWERS.items()]

    def score(self, item: Item, output: str) -> Score:
        """Finds the first of the two words in the output; "not the same" is different."""
        parsed = first_of_two(output, WORDS)
        return Score(parsed, parsed is not None and parsed == item.gold)

    def gold_reading(self, item: Item) -> str | None:
        """Returns the label."""
        return item.gold

    def question_from_text(self, text: str, target: str | None) -> Item:
        """Takes two sentences, a line each, and the word that is asked about (`--target`)."""
        sentences = text.splitlines()
        if len(sentences) != 2 or not all(sentence.strip() for sentence in sentences):
            raise UserError("The word-sense task needs two sentences, a line each.")
        if not target or not target.strip():
            raise UserError("The word-sense task needs the word in question: add --target WORD.")
        first, second = (_occurrence(target, sentence) for sentence in sentences)
        question = {
            "word": target,
            "sentence1": sentences[0],
            "sentence2": sentences[1],
            "span1": first,
            "span2": second,
        }
        return Item("prompt", target, question)


def _occurrence(target: str, sentence: str) -> Span:
    """Returns where the word, or an inflection of it, first stands in the sentence."""
    for found in re.finditer(r"\w+(?:[-'’]\w+)*", sentence):
        if stem(found[0]) == stem(target):
            return Span(*found.span())
    raise UserError(f"--target '{target}' does not occur in the sentence {sentence[:60]!r}.")


def _item(row: WordSenseRow) -> Item:
    question = {
        "word": row.word,
        "sentence1": row.sentence1,
        "sentence2": row.sentence2,
        "span1": Span(row.start1, row.start1 + len(row.target1)),
        "span2": Span(row.start2, row.start2 + len(row.target2)),
    }
    return Item(row.id, row.group_or(stem(row.word)), question, row.label)
