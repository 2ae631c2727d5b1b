"""A finding's evidence as people are shown it: marked text, and what speaks for each reading."""

from collections.abc import Sequence
from itertools import groupby
from math import exp
from typing import NamedTuple

from saetask.detection.base import ConceptEvidence, Misunderstanding
from saetask.report.items import ConceptRecord, MisunderstandingRecord

PLAIN, FOR, AGAINST = 0, 1, 2
"""What the evidence on a piece of text speaks for; where both sides fire, it is `FOR | AGAINST`."""
ROWS_A_SIDE = 3
"""Maximum number of concepts that are shown on each side; the others are added up."""
MOST_WORDS = 3
LARGEST_ODDS = 1000

AnyFinding = Misunderstanding | MisunderstandingRecord
AnyConcept = ConceptEvidence | ConceptRecord


class Piece(NamedTuple):
    """A piece of a text."""

    text: str
    side: int
    """`PLAIN`, `FOR`, `AGAINST`, or `FOR | AGAINST`."""


class Bar(NamedTuple):
    """What one concept, or several together, add to the log-odds of the finding's reading."""

    name: str
    contribution: float
    share: float
    """Its size, relative to the largest of the finding."""
    verdict: str = ""
    words: Sequence[str] = ()
    """Where it fires in the prompt, strongest first."""


class Headings(NamedTuple):
    """What the two sides of a finding's evidence speak for."""

    against: str
    for_reading: str


def marked_text(text: str, concepts: Sequence[AnyConcept], offset: int = 0) -> list[Piece]:
    """Cuts a text where the concepts' tokens begin or end, and tells which side fires on a piece.

    Args:
        text: The text.
        concepts: Concepts for and against the reading; blanks at the ends of a token, and tokens
            outside the text, are not marked.
        offset: Where the text begins in what the tokens' positions count in.
    """
    sides = bytearray(len(text))
    for concept in concepts:
        side = FOR if concept.contribution > 0 else AGAINST
        for token in concept.tokens:
            start, end = max(0, token.start - offset), max(0, token.end - offset)
            blanks = len(text[start:end]) - len(text[start:end].lstrip())
            end = start + len(text[start:end].rstrip())
            for place in range(start + blanks, end):
                sides[place] |= side
    places = groupby(range(len(text)), key=sides.__getitem__)
    return [Piece("".join(text[place] for place in run), side) for side, run in places]


def fired_words(concept: AnyConcept) -> list[str]:
    """Returns the words on which a concept fires, strongest first; adjoining tokens are one."""
    words: list[tuple[float, str]] = []
    last = None
    for token in sorted(concept.tokens, key=lambda token: token.start):
        if words and last == token.start and not token.text[:1].isspace():
            strongest, word = words.pop()
            words.append((max(strongest, token.activation), word + token.text))
        else:
            words.append((token.activation, token.text))
        last = token.end
    ordered = sorted(words, key=lambda pair: -pair[0])
    return list(dict.fromkeys(word.strip() for _, word in ordered))[:MOST_WORDS]


def strongest(found: AnyFinding, side: int) -> list[AnyConcept]:
    """Returns the concepts of one side, strongest first."""
    chosen = [c for c in found.concepts if (c.contribution > 0) == (side == FOR)]
    return sorted(chosen, key=lambda concept: -abs(concept.contribution))


def evidence_bars(found: AnyFinding) -> list[Bar]:
    """Returns the strongest concepts of both sides, the weaker ones together, and the rest.

    Contributions add up to the finding's log-odds.
    """
    sides = [strongest(found, FOR), strongest(found, AGAINST)]
    shown = [concept for side in sides for concept in side[:ROWS_A_SIDE]]
    weaker = [concept.contribution for side in sides for concept in side[ROWS_A_SIDE:]]
    bars = [Bar(c.name, c.contribution, 0.0, c.verdict, fired_words(c)) for c in shown]
    if weaker:
        name = "1 weaker concept" if len(weaker) == 1 else f"{len(weaker)} weaker concepts"
        bars.append(Bar(name, sum(weaker), 0.0))
    if found.rest is not None:
        bars.append(Bar("unnamed", found.rest, 0.0))
    largest = max((abs(bar.contribution) for bar in bars), default=0.0) or 1.0
    return [bar._replace(share=abs(bar.contribution) / largest) for bar in bars]


def other_reading(found: AnyFinding) -> str:
    """Returns the reading for which all that speaks against the finding's speaks; "" for several.

    That is the other one of two readings.
    """
    others = {c.reading for c in found.concepts if c.contribution <= 0} - {found.reading}
    return others.pop() if len(others) == 1 else ""


def headings(found: AnyFinding) -> Headings:
    """Returns what each side speaks for: one of two readings, or for and against one of more."""
    other = other_reading(found)
    return Headings(f"for {other}" if other else "against it", f"for {found.reading}")


def short_name(name: str) -> str:
    """Returns a concept's name without its telling words."""
    return name.split(" (")[0]


def signed(value: float) -> str:
    """Returns a number with its sign and two decimals."""
    return f"{value:+.2f}".replace("-", "−")


def margin_sentence(found: AnyFinding) -> str:
    """Returns what all evidence together says, in log-odds and as odds; "" where it is unknown."""
    if found.log_odds is None:
        return ""
    odds = exp(min(abs(found.log_odds), 50))
    told = f"over {LARGEST_ODDS}" if odds > LARGEST_ODDS else f"about {odds:.2g}"
    told = f"{told} to 1 {'for' if found.log_odds > 0 else 'against'} “{found.reading}”"
    return f"margin {signed(found.log_odds)}: {told}, by the features alone"


def removal_sentence(found: AnyFinding) -> str:
    """Returns what the features would say without the strongest concept for the reading.

    It is "" where no concept speaks for the reading, or they do not favour it with all of them.
    """
    speaking = strongest(found, FOR)
    if not speaking or found.log_odds is None or found.log_odds <= 0:
        return ""
    left = found.log_odds - speaking[0].contribution
    if left > 0:
        told = f"still say “{found.reading}”"
    elif other := other_reading(found):
        told = f"say “{other}”"
    else:
        told = f"no longer say “{found.reading}”"
    return f"without “{short_name(speaking[0].name)}” the features would {told} ({signed(left)})"


class Contexts(NamedTuple):
    """Contexts of the dictionary in which a concept fires, the firing token between « and »."""

    name: str
    texts: Sequence[str]


def telling_contexts(found: AnyFinding) -> list[Contexts]:
    """Returns the contexts of the strongest concept on each side."""
    chosen = [side[0] for side in (strongest(found, FOR), strongest(found, AGAINST)) if side]
    return [
        Contexts(short_name(concept.name), [" ".join(text.split()) for text in concept.contexts])
        for concept in chosen
        if concept.contexts
    ]
