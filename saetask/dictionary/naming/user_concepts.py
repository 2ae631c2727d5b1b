"""Concepts of a user: word lists or two sets of example sentences, from a JSONL file."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ConfigDict, Field, model_validator

from saetask.data.class_names import CLASS_NAMES, PARTS_OF_SPEECH, WIDE_CLASSES
from saetask.data.items import read_rows
from saetask.data.word_classes import word_lists
from saetask.dictionary.documents import Document
from saetask.dictionary.naming.battery import ENDINGS, OWN_WORDS, SIGNS
from saetask.dictionary.naming.examples import TEXT, WORD, Example
from saetask.errors import UserError
from saetask.utils.validation import validate

MIN_SENTENCES = 8
"""Minimum number of sentences of each set: half of them choose the features, half try them."""


class UserConcept(Document):
    """A row of a concept file."""

    model_config = ConfigDict(strict=False)

    name: str
    """A few plain words."""
    words: list[str] = Field(default_factory=list)
    """The words that it is about; their inflected forms count as well."""
    examples: list[Example] = Field(default_factory=list)
    """Sentences in which it is present; where one word of each stands between « and », it is what
    the concept is about."""
    others: list[Example] = Field(default_factory=list)
    """Like sentences in which it is not."""
    asked: str = ""
    """The message in which the sentences are read, with {text} for the sentence and {word} for its
    marked word, such as that of a task; by default they are read as running text."""

    task: str = ""
    """The task whose prompts alone the concept is for; by default it is for those of every task."""
    quoted: bool = True
    """Whether the dictionary may quote the sentences: false where their licence forbids it."""

    @model_validator(mode="after")
    def _check(self) -> "UserConcept":
        if not self.name.strip() or not all(word.strip().isalpha() for word in self.words):
            raise ValueError("name must not be empty, and words must be single words of letters")
        taken = {*CLASS_NAMES, *CLASS_NAMES.values(), *WIDE_CLASSES, *PARTS_OF_SPEECH}
        taken |= {*word_lists(), *SIGNS, *ENDINGS, OWN_WORDS}
        if self.name in taken:
            raise ValueError(f"'{self.name}' is the name of a built-in concept; take another")
        sentences = min(len(self.examples), len(self.others))
        if bool(self.words) == bool(self.examples or self.others):
            raise ValueError("give either words, or examples and others")
        if not self.words and sentences < MIN_SENTENCES:
            raise ValueError(f"examples and others must be {MIN_SENTENCES} sentences each, or more")
        if len({bool(example.word) for example in (*self.examples, *self.others)}) > 1:
            raise ValueError("mark a word in every sentence of examples and others, or in none")
        if self.words and (self.task or not self.quoted):
            raise ValueError("task and quoted go with examples; a list of words is for every task")
        if self.asked and (self.words or self.asked.count(TEXT) != 1):
            raise ValueError(f"asked goes with examples, and must have {TEXT} once")
        if WORD in self.asked and not self.is_marked:
            raise ValueError(f"asked has {WORD}, and no word of the sentences is marked")
        return self

    @property
    def is_marked(self) -> bool:
        """Whether a word of each sentence is marked."""
        return any(example.word for example in self.examples)


def read_user_concepts(path: Path) -> list[UserConcept]:
    """Reads a concept file.

    Raises:
        UserError: The file can not be read, a row does not fit, or a name is given twice.
    """
    concepts = [validate(UserConcept, row, f"{path}:{line}") for line, row in read_rows(path)]
    names = [concept.name for concept in concepts]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"{path}: the name '{name}' is given twice; give every concept its own."
            )
    return concepts


def word_lists_of(concepts: Sequence[UserConcept]) -> dict[str, frozenset[str]]:
    """Returns the words of each concept that is a word list, in lower case."""
    return {
        concept.name: frozenset(word.strip().lower() for word in concept.words)
        for concept in concepts
        if concept.words
    }
