"""A finding's concept evidence as data of the page's item browser.

What concepts are called and where else they fire is written once a concept; a finding refers to it
by its place, so that the evidence of 5,000 items stays small.
"""

from typing import Any

from saetask.report.evidence import (
    MOST_NEAREST,
    alike_text,
    other_reading,
    shown_concepts,
    told_words,
    unnamed,
    weaker,
)
from saetask.report.fired_words import AnyConcept, fired_words, unnamed_words
from saetask.report.items import MisunderstandingRecord
from saetask.saes.described_words import describes

PLACES = 2
"""Decimals of log-odds and contributions."""


class ConceptTable:
    """The concepts that findings name: name, verdict and contexts of each, once."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], int] = {}
        self.rows: list[list[Any]] = []
        """By place: name, verdict, and contexts."""

    def place(self, concept: AnyConcept) -> int:
        """Returns the place of a concept, which is added where it is new."""
        key = (concept.id, concept.verdict)
        if key not in self._places:
            self._places[key] = len(self.rows)
            self.rows.append([concept.name, concept.verdict, concept.contexts])
        return self._places[key]


def evidence_data(
    finding: MisunderstandingRecord, prompt: str, offset: int | None, table: ConceptTable
) -> list[Any] | None:
    """Returns the concept evidence of a finding; None where it has none.

    Args:
        finding: The finding.
        prompt: The prompt, all messages.
        offset: Where in the prompt the message begins in which the finding's positions count; None
            where that is unknown, and no text can be marked.
        table: The concepts; new ones are added.

    Returns:
        The other reading, or ""; the log-odds; what has no telling name adds, and what weaker
        concepts add; the words on which the former fires; the known prompts with the most alike
        evidence, text and reading of each; the first and last character of the lines with the
        finding; start and length of each word that is marked, one after another; and for each
        concept that is shown its place, what it adds, how often known prompts like this one have
        its reading, and the numbers of its words, -1 less the number of one that its name does not
        describe; where there is no word, what stands in their place.
    """
    if not finding.concepts:
        return None
    words: dict[tuple[int, int], int] = {}
    bars, lines = [], []
    for concept in shown_concepts(finding):
        bar: list[Any] = [table.place(concept), _rounded(concept.contribution), alike_text(concept)]
        if not (fired := fired_words(concept)):
            bar += told_words(concept)
        elif offset is not None:
            for word in fired:
                place = offset + word.start, len(word.text)
                number = words.setdefault(place, len(words))
                bar.append(-1 - number if describes(concept.id, word.word) is False else number)
        bars.append(bar)
    if offset is not None:
        lines = _lines(prompt, offset + finding.span[0], offset + finding.span[1])
    return [
        other_reading(finding),
        _rounded(finding.log_odds),
        _rounded(None if finding.rest is None else unnamed(finding)),
        _rounded(weaker(finding)),
        ", ".join(unnamed_words(finding)),
        [[near.text, near.reading] for near in finding.nearest[:MOST_NEAREST]],
        lines,
        [number for each in words for number in each],
        bars,
    ]


def _lines(prompt: str, start: int, end: int) -> list[int]:
    """Returns the first and last character of the lines in which a span lies."""
    after = prompt.find("\n", end)
    return [prompt.rfind("\n", 0, start) + 1, len(prompt) if after < 0 else after]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, PLACES)
