"""The words of a prompt on which concepts, and what has no name, fire most."""

from collections.abc import Sequence
from typing import NamedTuple

from saetask.detection.base import ConceptEvidence, ConceptToken, Misunderstanding
from saetask.report.items import ConceptRecord, ConceptTokenRecord, MisunderstandingRecord

MOST_WORDS = 3

AnyFinding = Misunderstanding | MisunderstandingRecord
AnyConcept = ConceptEvidence | ConceptRecord
AnyToken = ConceptToken | ConceptTokenRecord


class FiredWord(NamedTuple):
    """A word on which a concept fires."""

    start: int
    """In what the positions of tokens count in."""
    end: int
    text: str
    word: str
    """The whole word that its first token is part of; the text where that is unknown."""


def fired_words(concept: AnyConcept) -> list[FiredWord]:
    """Returns the words on which a concept adds most, strongest first."""
    return words_of(concept.tokens)


def unnamed_words(found: AnyFinding) -> list[str]:
    """Returns the whole words on which what has no telling name adds most, each once."""
    words = (without_signs(word.word) for word in words_of(found.unnamed_tokens))
    return list(dict.fromkeys(words))


def without_signs(word: str) -> str:
    """Returns a word without the signs at its ends, or what is nothing else as it is."""
    return word.strip(" .,;:!?()\"'“”‘’") or word


def words_of(tokens: Sequence[AnyToken]) -> list[FiredWord]:
    """Returns the words in which tokens add most, strongest first; adjoining tokens are one.

    Where it is not known what a token adds, the strongest activation counts. Blanks at the ends of
    a token are no part of the word.
    """
    words: list[tuple[float, FiredWord]] = []
    for token in sorted(tokens, key=lambda token: token.start):
        text = token.text.strip()
        start = token.start + len(token.text) - len(token.text.lstrip())
        word = FiredWord(start, start + len(text), text, token.word or text)
        strength = abs(token.adds) or token.activation
        if words and words[-1][1].end == start:
            before = words.pop()
            joined, whole = before[1].text + text, before[1].word if token.word else ""
            word = FiredWord(before[1].start, word.end, joined, whole or joined)
            strength = max(strength, before[0])
        if text:
            words.append((strength, word))
    return [word for _, word in sorted(words, key=lambda pair: -pair[0])][:MOST_WORDS]
