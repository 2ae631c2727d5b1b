"""A finding's evidence as people are shown it: marked text, and what speaks for each reading."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from math import exp, sqrt
from typing import NamedTuple

from saetask.report.fired_words import AnyConcept, AnyFinding, fired_words, unnamed_words
from saetask.saes.described_words import describes

PLAIN, FOR, AGAINST = 0, 1, 2
"""What the evidence on a piece of text speaks for; where both sides fire, it is `FOR | AGAINST`."""
ROWS_A_SIDE = 3
"""Maximum number of concepts that are shown on each side; the others are added up."""
MOST_NEAREST = 3
"""Maximum number of known prompts that are shown beside a prompt."""
LARGEST_ODDS = 1000
WEAK = 0.7
"""Log-odds below which the evidence is weak: two to one."""
ONE_IN_TWENTY = 1.645
"""Standard errors that a normal variable exceeds one time in twenty."""
LEAST_SHOWN = 0.005
"""Log-odds below which several concepts together have no row."""
REST = "what has no telling name"
"""A finding's `rest` less its `unlisted`, in tables and in sentences: features without a name, or
whose name tells the form of words alone, and the average prompt."""
WEAKER = "named concepts not listed"
"""Concepts that are not shown one by one: weaker ones, and those that examples do not bear out."""
LESS = "less than usual"
"""Of a concept that speaks by firing less than in the average prompt."""
OUTSIDE = "outside the text"
"""In place of words, for a concept that fires in the rest of the prompt alone."""

SIGNS = {"validated": "✓", "named by a reader": "✎", "refused by a reader": "✕"}
"""Signs of verdicts on a name, as `views/text.js` has them; any other is `UNCONFIRMED`."""
UNCONFIRMED = "○"


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
    """Where it fires in the prompt, strongest first; in brackets where its name does not hold."""
    alike: str = ""
    """Of which share of how many known prompts like this one it tells the reading rightly."""


class Headings(NamedTuple):
    """What the two sides of a finding's evidence speak for."""

    against: str
    for_reading: str


def shown_concepts(found: AnyFinding) -> list[AnyConcept]:
    """Returns the strongest concepts for the reading, then the strongest against it."""
    return [c for side in (FOR, AGAINST) for c in telling(found, side)[:ROWS_A_SIDE]]


def marked_text(text: str, found: AnyFinding, offset: int = 0) -> list[Piece]:
    """Cuts a text at the words on which the shown concepts fire, and tells which side does.

    A word that a concept's name does not describe is not marked for it.

    Args:
        text: The text.
        found: The finding.
        offset: Where the text begins in what the tokens' positions count in; words outside the text
            are not marked.
    """
    sides = bytearray(len(text))
    for concept in shown_concepts(found):
        fitting = (w for w in fired_words(concept) if describes(concept.id, w.word) is not False)
        for word in fitting:
            for place in range(max(0, word.start - offset), min(len(text), word.end - offset)):
                sides[place] |= FOR if concept.contribution > 0 else AGAINST
    places = groupby(range(len(text)), key=sides.__getitem__)
    return [Piece("".join(text[place] for place in run), side) for side, run in places]


def strongest(found: AnyFinding, side: int) -> list[AnyConcept]:
    """Returns the concepts of one side, strongest first."""
    chosen = [c for c in (found.concepts or ()) if (c.contribution > 0) == (side == FOR)]
    return sorted(chosen, key=lambda concept: -abs(concept.contribution))


def telling(found: AnyFinding, side: int) -> list[AnyConcept]:
    """Returns the concepts of one side that examples bear out, strongest first.

    One that by itself speaks for no reading in known prompts adds to it only beside others: nobody
    could follow it as a reason.
    """
    return [concept for concept in strongest(found, side) if holds_alone(concept)]


def weaker(found: AnyFinding) -> float:
    """Returns what named concepts that are not shown add together."""
    every = sum(concept.contribution for concept in found.concepts or ())
    shown = sum(concept.contribution for concept in shown_concepts(found))
    return every - shown + (found.unlisted or 0.0)


def unnamed(found: AnyFinding) -> float:
    """Returns what has no telling name adds to the log-odds."""
    return (found.rest or 0.0) - (found.unlisted or 0.0)


def evidence_bars(found: AnyFinding) -> list[Bar]:
    """Returns the strongest concepts of both sides, the weaker ones together, and the rest.

    Contributions add up to the finding's log-odds.
    """
    bars = [
        Bar(c.name, c.contribution, 0.0, c.verdict, told_words(c), alike_text(c))
        for c in shown_concepts(found)
    ]
    if abs(weaker(found)) >= LEAST_SHOWN:
        bars.append(Bar(WEAKER, weaker(found), 0.0))
    if found.rest is not None:
        bars.append(Bar(REST, unnamed(found), 0.0, "", unnamed_words(found)))
    largest = max((abs(bar.contribution) for bar in bars), default=0.0) or 1.0
    return [bar._replace(share=abs(bar.contribution) / largest) for bar in bars]


def told_words(concept: AnyConcept) -> list[str]:
    """Returns the whole words on which a concept fires, each once, or what stands in their place.

    One that the concept's name does not describe stands in brackets.
    """
    words = dict.fromkeys(word.word for word in fired_words(concept))
    if words:
        return [f"({word})" if describes(concept.id, word) is False else word for word in words]
    if not concept.fires_less:
        return [OUTSIDE]
    share, little = share_of_usual(concept), ", ".join(concept.less_on)
    told = LESS if share is None else f"little ({share:.0%})"
    return [f"{told}: {little}" if little else told]


def share_of_usual(concept: AnyConcept) -> float | None:
    """Returns how active a concept is, relative to the mean prompt; None where that is unknown."""
    if concept.alike is None or concept.alike.usual <= 0:
        return None
    return concept.alike.activity / concept.alike.usual


def holds_alone(concept: AnyConcept) -> bool:
    """Returns whether known prompts in which a concept fires so have its reading more often.

    By more than chance gives, that is: one time in twenty, of as many prompts.
    """
    if concept.alike is None:
        return True
    n, of_all = concept.alike.n, concept.alike.of_all
    return concept.alike.share - of_all > ONE_IN_TWENTY * sqrt(of_all * (1 - of_all) / n)


def alike_text(concept: AnyConcept) -> str:
    """Returns which share of how many prompts, where a concept fires so, have its reading."""
    return f"{concept.alike.share:.0%} of {concept.alike.n}" if concept.alike else ""


def examples_sentence(found: AnyFinding) -> str:
    """Returns what stands in the column of examples, and how often each reading is right in all."""
    of_all = {c.reading: c.alike.of_all for c in shown_concepts(found) if c.alike}
    if not of_all:
        return ""
    shares = ", ".join(f"{share:.0%} {reading}" for reading, share in of_all.items())
    return (
        "examples: of the prompts it was fitted on in which the concept fires as here, how many "
        f"have the reading it speaks for (of all: {shares}); little (40%): it fires 40% as much "
        "as in the average one"
    )


def other_reading(found: AnyFinding) -> str:
    """Returns the reading for which all that speaks against the finding's speaks.

    It is "" where that is unknown: older runs of more than two readings count against all others.
    """
    if found.against:
        return found.against
    others = {c.reading for c in (found.concepts or ()) if c.contribution <= 0} - {found.reading}
    return others.pop() if len(others) == 1 else ""


def headings(found: AnyFinding) -> Headings:
    """Returns what each side speaks for: the two readings that are compared, where known."""
    other = other_reading(found)
    return Headings(f"for {other}" if other else "against it", f"for {found.reading}")


def short_name(name: str) -> str:
    """Returns a concept's name without its telling words."""
    return name.split(" (", maxsplit=1)[0]


def signed(value: float) -> str:
    """Returns a number with its sign and two decimals."""
    return f"{value:+.2f}".replace("-", "−")


def margin_sentence(found: AnyFinding) -> str:
    """Returns what all evidence together says, in log-odds and as odds; "" where it is unknown."""
    if found.log_odds is None:
        return ""
    side = "for" if found.log_odds > 0 else "against"
    told = f"{odds_of(found.log_odds)} {side} “{found.reading}”"
    return f"margin {signed(found.log_odds)}: {told}, by the features alone"


def odds_of(log_odds: float) -> str:
    """Returns log-odds of either sign as odds, such as `about 3 to 1`."""
    odds = exp(min(abs(log_odds), 50))
    told = f"over {LARGEST_ODDS}" if odds > LARGEST_ODDS else f"about {float(f'{odds:.2g}'):g}"
    return f"{told} to 1"


def removal_sentence(found: AnyFinding) -> str:
    """Returns what the features would say if the strongest concept for the reading told nothing.

    It tells nothing where it fires as in the average prompt.

    It is "" where no concept speaks for the reading, or they do not favour it with all of them.
    """
    speaking = telling(found, FOR)
    if not speaking or found.log_odds is None or found.log_odds <= 0:
        return ""
    left = found.log_odds - speaking[0].contribution
    if left > 0:
        told = f"still say “{found.reading}”"
    elif other := other_reading(found):
        told = f"say “{other}”"
    else:
        told = f"no longer say “{found.reading}”"
    name = short_name(speaking[0].name)
    return f"with as much of “{name}” as usual the features would {told} ({signed(left)})"


def nearest_heading(found: AnyFinding) -> str:
    """Returns what the known prompts with alike evidence are, and how many have which reading."""
    counts = Counter(near.reading for near in found.nearest)
    shares = ", ".join(f"{n} {reading}" for reading, n in counts.most_common())
    return f"examples with the most alike evidence (of the nearest {len(found.nearest)}: {shares})"


class Contexts(NamedTuple):
    """Contexts of the dictionary in which a concept fires, the firing token between « and »."""

    name: str
    texts: Sequence[str]


def telling_contexts(found: AnyFinding) -> list[Contexts]:
    """Returns the contexts of the strongest concept on each side."""
    chosen = [side[0] for side in (telling(found, FOR), telling(found, AGAINST)) if side]
    return [
        Contexts(short_name(concept.name), [" ".join(text.split()) for text in concept.contexts])
        for concept in chosen
        if concept.contexts
    ]
