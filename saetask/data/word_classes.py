"""Classes of words: WordNet's 45 lexicographer files, looked up by lemma, without a tagger."""

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

CLASSES, LISTS = "classes.txt", "lists.txt"
"""Classes are made by `recipes/make_word_classes.py`; lists are written by hand."""
FORMS = "forms"
WORD = re.compile(r"[^\W\d_]+")
ENDINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ies", ("y", "ie")),
    ("es", ("e", "")),
    ("s", ("",)),
    ("ied", ("y",)),
    ("ed", ("e", "")),
    ("ing", ("e", "")),
    ("er", ("e", "")),
    ("est", ("e", "")),
)
"""Ending of a form, and what stands in its place in the lemma."""
DOUBLING = ("ed", "ing", "er", "est")
"""Endings before which a final consonant may be doubled: `stopped`."""
FUNCTION_WORDS = "function words"
"""The list of words of the closed classes. They have no class of WordNet's, whose senses of them
mislead."""


class _Table(NamedTuple):
    classes: dict[str, str]
    """Class of each lemma."""
    lemmas: dict[str, str]
    """Lemma of each irregular form."""


@cache
def _table() -> _Table:
    classes, lemmas = {}, {}
    for line in _lines(CLASSES):
        name, *words = line.split()
        if name == FORMS:
            pairs = (word.partition("=") for word in words)
            lemmas.update({form: lemma for form, _, lemma in pairs})
        else:
            classes.update(dict.fromkeys(words, name))
    return _Table(classes, lemmas)


def _lines(name: str) -> list[str]:
    return (files("saetask") / "assets/words" / name).read_text(encoding="utf-8").splitlines()


@cache
def word_lists() -> dict[str, frozenset[str]]:
    """Returns lists of lower-case words by name, such as `negation`."""
    named = (line.split(": ") for line in _lines(LISTS))
    return {name: frozenset(words.split()) for name, words in named}


def class_names() -> list[str]:
    """Returns the names of all classes, such as `noun.food`, sorted."""
    return sorted(set(_table().classes.values()))


def regular_lemmas(form: str) -> list[str]:
    """Returns what a lower-case form may be a regular form of, whether or not it is a word."""
    lemmas = []
    for ending, replacements in ENDINGS:
        if form.endswith(ending) and len(form) > len(ending) + 1:
            stem = form.removesuffix(ending)
            lemmas += [stem + replacement for replacement in replacements]
            if ending in DOUBLING and len(stem) > 2 and stem[-1] == stem[-2]:
                lemmas.append(stem[:-1])
    return lemmas


@cache
def lemma_of(word: str) -> str:
    """Returns the lemma of a lower-case word; the word itself where the table knows none."""
    table = _table()
    if word in table.lemmas:
        return table.lemmas[word]
    candidates = (word, *regular_lemmas(word))
    return next((lemma for lemma in candidates if lemma in table.classes), word)


@cache
def class_of(word: str) -> str | None:
    """Returns the class of a lower-case word, such as `noun.food`; None if it has none."""
    lemma = lemma_of(word)
    if {word, lemma} & word_lists()[FUNCTION_WORDS]:
        return None
    return _table().classes.get(lemma)


def word_classes(text: str) -> list[str]:
    """Returns the class of each word of a text that has one, in their order."""
    words = (match.group().lower() for match in WORD.finditer(text))
    return [name for name in map(class_of, words) if name]
