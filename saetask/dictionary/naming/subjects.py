"""What the name of a concept tells: what words mean, their form alone, or a kind of examples."""

from saetask.data.class_names import TOO_WIDE
from saetask.dictionary.naming.battery import ENDINGS, SIGNS
from saetask.saes.concepts import ConceptKind, ConceptSubject

ADJECTIVES_AND_ADVERBS = {"adj.all", "adj.pert", "adj.ppl", "adv.all"}
"""WordNet's classes that hold every adjective or adverb, whatever it means."""
FUNCTION_WORD_LISTS = {
    "first person",
    "second person",
    "he and she",
    "they and it",
    "demonstratives",
    "question words",
    "modal verbs",
    "forms of be",
    "forms of have",
    "forms of do",
    "articles",
    "conjunctions",
    "prepositions of place",
    "other prepositions",
}
SHAPES = {
    "plurals",
    "past forms of verbs",
    "digits",
    "line breaks",
    "capitalised words",
    "names",
    "beginnings of long words",
    "control tokens",
    "beginning of a text",
    "first word of a sentence",
    "inside quotation marks",
}
FORM = {*ADJECTIVES_AND_ADVERBS, *TOO_WIDE, *FUNCTION_WORD_LISTS, *SHAPES, *SIGNS, *ENDINGS}
"""Sources of predicates that a reader can apply and that say nothing of what a text is about."""


def subject_of(kind: ConceptKind, source: str) -> ConceptSubject:
    """Returns what the name of a concept tells.

    Args:
        kind: The concept's kind.
        source: What its name says: a class or list of words, a kind of sign, or a user's concept.
    """
    if kind == "contrast":
        return "contrast"
    return "form" if source in FORM else "meaning"
