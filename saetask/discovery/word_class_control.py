"""Classes and lists of words, without any model: what one finds who has thought of them."""

from collections.abc import Sequence

import numpy as np

from saetask.data.class_names import CLASS_NAMES, WIDE_CLASSES
from saetask.data.word_classes import WORD, class_names, class_of, lemma_of, word_lists
from saetask.discovery.hypotheses import Family, Hypothesis


def word_class_family(texts: Sequence[str]) -> Family:
    """Returns the classes and lists that concepts are named after, by how many words are of them.

    Concepts are groups of features that tell such classes. What the classes of the words tell by
    themselves needs no SAE.
    """
    lists = word_lists()
    names = [*class_names(), *WIDE_CLASSES, *lists]
    places = {name: place for place, name in enumerate(names)}
    scores = np.zeros((len(texts), len(names)), np.float32)
    for row, text in zip(scores, texts):
        for match in WORD.finditer(text):
            word = match.group().lower()
            held = {name for name, words in lists.items() if {word, lemma_of(word)} & words}
            if own := class_of(word):
                held |= {own, *(name for name, parts in WIDE_CLASSES.items() if own in parts)}
            row[[places[name] for name in held]] += 1

    def hypothesis(column: int) -> Hypothesis:
        name = names[column]
        return Hypothesis(f"class:{name}", CLASS_NAMES.get(name, name), "word")

    return Family(scores, hypothesis)
