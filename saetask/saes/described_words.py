"""Whether a concept's name describes a word: what a reader of the evidence would check first."""

from collections.abc import Container, Mapping
from functools import cache

from saetask.data.class_names import classes_together
from saetask.data.word_classes import class_names, class_of, word_lists


def tells_of_words(concept_id: str) -> bool:
    """Returns whether a concept's name tells of which single words it is.

    Args:
        concept_id: Id of the concept, such as `on:noun.food`.
    """
    relation, _, source = concept_id.partition(":")
    return relation == "on" and (source in _classes() or source in word_lists())


def describes(concept_id: str, word: str) -> bool | None:
    """Returns whether a concept's name describes a word, by the table that named its features.

    Args:
        concept_id: Id of the concept, such as `on:noun.food`.
        word: A word in any case, as it stands in a prompt.

    Returns:
        None where a word alone does not tell: `near` words of a kind, the form of words, a user's
        own concept, or no word.
    """
    if not word or not tells_of_words(concept_id):
        return None
    source = concept_id.partition(":")[2]
    if source in _classes():
        return (class_of(word.lower()) or "") in _classes()[source]
    return word.lower() in word_lists()[source]


@cache
def _classes() -> Mapping[str, Container[str]]:
    """Returns the classes that a source of names stands for."""
    names = class_names()
    return {**{name: (name,) for name in names}, **classes_together(names)}
