"""Whether a concept's name describes a word: what a reader of the evidence would check first."""

from collections.abc import Container, Mapping
from functools import cache

from saetask.data.word_classes import class_names, class_of, word_lists
from saetask.dictionary.naming.class_names import classes_together


def describes(concept_id: str, word: str) -> bool | None:
    """Returns whether a concept's name describes a word, by the table that named its features.

    Args:
        concept_id: Id of the concept, such as `on:noun.food`.
        word: A word in any case, as it stands in a prompt.

    Returns:
        None where a word alone does not tell: `near` words of a kind, the form of words, a user's
        own concept, or no word.
    """
    relation, _, source = concept_id.partition(":")
    if relation != "on" or not word:
        return None
    if source in _classes():
        return (class_of(word.lower()) or "") in _classes()[source]
    listed = word_lists().get(source)
    return None if listed is None else word.lower() in listed


@cache
def _classes() -> Mapping[str, Container[str]]:
    """Returns the classes that a source of names stands for."""
    names = class_names()
    return {**{name: (name,) for name in names}, **classes_together(names)}
