"""A word in two sentences: the same sense or not?"""

import re
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from pydantic import ValidationInfo, field_validator, model_validator

from saetask import UserError, did_you_mean
from saetask.data import Candidate, Item, ItemRow, Prompt, Score, SecondQuestion, Span, Text

from .given_items import given_items
from .options import checked_index, equal_options, first_of_two, option_score
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
    senses: list[Text] | None = None
    """Two different meanings of the word; the second question asks which the second one has."""
    sense: int | None = None
    """Place of that one among the meanings: 0 or 1."""

    @field_validator("start1", "start2")
    @classmethod
    def _target_stands_there(cls, offset: int, info: ValidationInfo) -> int:
        which = str(info.field_name)[-1]
        return checked_offset(offset, info.data, f"target{which}", f"sentence{which}")

    @field_validator("senses")
    @classmethod
    def _are_two(cls, senses: list[str] | None) -> list[str] | None:
        if senses is not None and (len(senses) != 2 or equal_options(senses)):
            raise ValueError(f"expected two different meanings, found {senses!r}")
        return senses

    @model_validator(mode="after")
    def _sense_is_one_of_them(self) -> "WordSenseRow":
        if (self.senses is None) != (self.sense is None):
            raise ValueError("senses and sense are given together, or neither")
        if self.sense is not None:
            checked_index(self.sense, 2)
        return self


class Gold(NamedTuple):
    """What is known of an item."""

    label: SenseLabel
    sense: int | None
    """Place of the meaning in the second sentence; None where the file does not say."""


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
        request = f'Does "{item.question["word"]}" have the same meaning in both sentences?'
        return _prompt(item, request, "The two meanings are")

    def candidates(self, item: Item) -> list[Candidate]:
        """Returns the two continuations."""
        return [Candidate(text, label) for label, text in ANSWERS.items()]

    def score(self, item: Item, output: str) -> Score:
        """Finds the first of the two words in the output; "not the same" is different."""
        parsed = first_of_two(output, WORDS)
        return Score(parsed, parsed is not None and parsed == self.gold_reading(item))

    def gold_reading(self, item: Item) -> str | None:
        """Returns the label."""
        return item.gold.label if item.gold else None

    def second_question(self, item: Item) -> SecondQuestion | None:
        """Returns the question what the word means in the second sentence; None without senses."""
        word, senses = item.question["word"], item.question.get("senses")
        if senses is None:
            return None
        request = f'What does "{word}" mean in the second sentence?'
        prompt = _prompt(item, request, f'There "{word}" means')
        return SecondQuestion(prompt, [Candidate(f" {sense}", "sense") for sense in senses])

    def score_second(self, item: Item, output: str) -> Score:
        """Finds which meaning the output states."""
        senses = dict(enumerate(item.question.get("senses", ())))
        return option_score(output, senses, item.gold.sense if item.gold else None)

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


def _prompt(item: Item, request: str, answer_prefix: str) -> Prompt:
    """Shows the two sentences, a line each, below a request."""
    question, lead = item.question, f"{request}\n"
    first, second = question["sentence1"], question["sentence2"].rstrip()
    start = len(lead) + len(first) + len("\n")
    content = f"{lead}{first}\n{second}"
    spans = {
        "text": Span(len(lead), len(content)),
        "target": Span(*question["span2"]).shifted(start),
        "other": Span(*question["span1"]).shifted(len(lead)),
    }
    return Prompt([{"role": "user", "content": content}], answer_prefix, spans)


def _occurrence(target: str, sentence: str) -> Span:
    """Returns where the word, or an inflection of it, first stands in the sentence."""
    for found in re.finditer(r"\w+(?:[-'’]\w+)*", sentence):
        if stem(found[0]) == stem(target):
            return Span(*found.span())
    hint = did_you_mean(target, set(re.findall(r"\w+", sentence)))
    raise UserError(f"--target '{target}' does not occur in the sentence {sentence[:60]!r}.{hint}")


def _item(row: WordSenseRow) -> Item:
    question: dict[str, Any] = {
        "word": row.word,
        "sentence1": row.sentence1,
        "sentence2": row.sentence2,
        "span1": Span(row.start1, row.start1 + len(row.target1)),
        "span2": Span(row.start2, row.start2 + len(row.target2)),
    }
    if row.senses is not None:
        question["senses"] = [sense.strip() for sense in row.senses]
    return Item(row.id, row.group_or(stem(row.word)), question, Gold(row.label, row.sense))
