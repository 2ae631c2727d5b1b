"""Writes the table of word classes that names of features are made of.

    python recipes/make_word_classes.py SYNSETS.jsonl.gz SEMCOR.jsonl.gz > classes.txt

A class is a lexicographer file of WordNet 3.0 (Miller 1995), such as `noun.food`. A word gets the
class of its most frequent sense in WordNet's counts, or of its first sense where none was counted.
Irregular forms are those of SemCor (Miller et al. 1993) that the rules of
`saetask.data.word_classes` do not lead back to their lemma.
"""

import gzip
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saetask.data.word_classes import regular_lemmas

WORD = re.compile(r"[a-z]{2,}")
PARTS_OF_SPEECH = "nvasr"
MIN_FORMS = 2
"""Minimum number of times that SemCor must have a form."""
NAME_LEMMAS = {"person", "group", "location", "other"}
"""What SemCor gives for the lemma of a name."""


def main(synsets: Path, semcor: Path) -> None:
    """Prints a line for each class and its words, and one with the irregular forms."""
    classes = class_of_words(_rows(synsets))
    by_class = defaultdict(list)
    for word, name in sorted(classes.items()):
        by_class[name].append(word)
    for name in sorted(by_class):
        print(name, *by_class[name])
    forms = irregular_forms(_rows(semcor), classes)
    print("forms", *(f"{form}={lemma}" for form, lemma in sorted(forms.items())))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def class_of_words(synsets: Iterator[dict[str, Any]]) -> dict[str, str]:
    """Returns the class of every word of one piece."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    first: dict[str, tuple[tuple[bool, int, int], str]] = {}
    for synset in synsets:
        senses = zip(synset["lemmas"], synset["sense_rank"], synset["tag_count"])
        for lemma, rank, count in senses:
            word = lemma.lower()
            if not WORD.fullmatch(word):
                continue
            if lemma == word:
                counts[word][synset["lexname"]] += count
            place = (lemma != word, rank, PARTS_OF_SPEECH.index(synset["ss_type"]))
            first[word] = min(
                first.get(word, (place, synset["lexname"])), (place, synset["lexname"])
            )
    return {
        word: max(counts[word], key=lambda name: counts[word][name])
        if counts[word].total()
        else name
        for word, (_, name) in first.items()
    }


def irregular_forms(sentences: Iterator[dict[str, Any]], classes: dict[str, str]) -> dict[str, str]:
    """Returns the most frequent lemma of each form that the rules lead to another one, or none."""
    counts: Counter[tuple[str, str]] = Counter()
    for sentence in sentences:
        for token in sentence["tokens"]:
            form, lemma = token["w"].lower(), token.get("lemma", "")
            if WORD.fullmatch(form) and lemma in classes and lemma not in NAME_LEMMAS:
                counts[form, lemma] += 1
    most_frequent: dict[str, str] = {}
    for (form, lemma), count in counts.most_common():
        if count >= MIN_FORMS:
            most_frequent.setdefault(form, lemma)
    return {
        form: lemma
        for form, lemma in most_frequent.items()
        if lemma != next((e for e in (form, *regular_lemmas(form)) if e in classes), None)
    }


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
