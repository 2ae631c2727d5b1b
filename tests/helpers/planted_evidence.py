"""A finding with planted concept evidence."""

from saetask.data.prompts import Span
from saetask.detection.base import ConceptEvidence, ConceptToken, Misunderstanding

SENTENCE = "She swallowed the insult with her soup."


def token(text: str, activation: float = 2.0, sentence: str = SENTENCE) -> ConceptToken:
    """Returns a token of a sentence, by its text."""
    start = sentence.index(text)
    return ConceptToken(start, start + len(text), text, activation)


def concept(name: str, contribution: float, *words: str, **changes) -> ConceptEvidence:
    """Returns a concept that fires on some words of the sentence.

    It speaks for `literal` where it adds to that reading, and else for `metaphorical`.
    """
    tokens = [token(word, 9.0 - number) for number, word in enumerate(words)]
    reading = "literal" if contribution > 0 else "metaphorical"
    contexts = [f"{number} a bowl of «{name}» on the table" for number in range(3)]
    given = ConceptEvidence(
        f"on:{name}", name, contribution, "validated", reading, tokens, [3, 5], contexts
    )
    return given._replace(**changes)


CONCEPTS = (
    concept("food (soup, bread)", 1.2, "swallowed", "soup"),
    concept("feelings (anger, pride)", -0.6, "insult"),
    concept("parts of the body", 0.4, "swallowed", verdict="not validated"),
    concept("speech", -0.2, "insult"),
)
REST = 0.31
LOG_ODDS = 1.11
"""The sum of all contributions and of the rest."""


def planted_finding(**changes) -> Misunderstanding:
    """Returns a finding that says `literal` of a word that is meant otherwise."""
    found = Misunderstanding(
        "planted", Span(4, 13), "swallowed", "literal", 0.9, [], LOG_ODDS, REST, CONCEPTS
    )
    return found._replace(**changes)
