"""Classes of words: WordNet's 45 lexicographer files, looked up by lemma, without a tagger."""

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

TABLE = "assets/words/classes.txt"
"""Made by `recipes/make_word_classes.py`."""
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
# fmt: off
FUNCTION_WORDS = frozenset(
    "a about above after again against all also although am an and any are as at be because been "
    "before behind being below beneath beside besides between beyond both but by can cannot could "
    "despite did do does doing done down during each either else enough even ever every few for "
    "from had has have having he hence her here hers herself him himself his how however i if in "
    "into is it its itself just least less many may me might mine more most much must my myself "
    "near neither never no nor not nothing now of off often on once one only onto or other others "
    "otherwise ought our ours ourselves out over own perhaps quite rather same several shall she "
    "should since so some something such than that the their theirs them themselves then there "
    "therefore these they this those though through throughout thus till to together too toward "
    "towards under unless until up upon us very was we were what whatever when where whereas "
    "whether which while who whom whose why will with within without would yet you your yours "
    "yourself yourselves".split()
)
"""Words of the closed classes; they have no class of WordNet's, whose senses of them mislead."""
# fmt: on


class _Table(NamedTuple):
    classes: dict[str, str]
    """Class of each lemma."""
    lemmas: dict[str, str]
    """Lemma of each irregular form."""


@cache
def _table() -> _Table:
    classes, lemmas = {}, {}
    text = (files("saetask") / TABLE).read_text(encoding="utf-8")
    for line in text.splitlines():
        name, *words = line.split()
        if name == FORMS:
            lemmas.update(word.split("=") for word in words)
        else:
            classes.update(dict.fromkeys(words, name))
    return _Table(classes, lemmas)


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
    if word in FUNCTION_WORDS or lemma in FUNCTION_WORDS:
        return None
    return _table().classes.get(lemma)


def word_classes(text: str) -> list[str]:
    """Returns the class of each word of a text that has one, in their order."""
    words = (match.group().lower() for match in WORD.finditer(text))
    return [name for name in map(class_of, words) if name]
